/** The services of the example, as small real HTTP servers on loopback: a source, an analysis and a store. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { z } from 'zod';
import { type Analysis, entitiesOf, qualityOf, readabilityOf, sha256 } from './analysis.ts';

export interface Services {
  sourceUrl: string;
  analysisUrl: string;
  storeUrl: string;
  /** What the store has got, by document. */
  stored: ReadonlyMap<string, unknown>;
  /** Requests by path. */
  calls: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** An answer, or undefined where nothing is served. */
type Serve = (path: string, body: unknown, idempotencyKey: string) => Promise<object | undefined> | object | undefined;

const withDocument = z.object({ document: z.string() });
const withContent = z.object({ content: z.string() });

/** What the store calls a document. */
export function storeId(document: string): string {
  return `doc-${sha256(document).slice(0, 12)}`;
}

export async function startServices(folder: string, documents: readonly string[]): Promise<Services> {
  const known = new Set(documents);
  const stored = new Map<string, unknown>();
  const answered = new Map<string, object>();
  const calls = new Map<string, number>();

  const source = await listen(calls, async (where, body) => {
    if (where !== '/fetch') return undefined;
    const { document } = withDocument.parse(body);
    if (!known.has(document)) return undefined;
    const content = await readFile(path.join(folder, document), 'utf8');
    return { document, content, sha256: sha256(content) };
  });
  const analysis = await listen(calls, (where, body) => {
    switch (where) {
      case '/quality':
        return qualityOf(withContent.parse(body).content);
      case '/readability':
        return readabilityOf(withContent.parse(body).content);
      case '/entities':
        return entitiesOf(withContent.parse(body).content);
      default:
        return undefined;
    }
  });
  // A task may be delivered more than once; the key is the same each time, so the document is stored once.
  const store = await listen(calls, (where, body, idempotencyKey) => {
    if (where !== '/documents') return undefined;
    const { document } = withDocument.parse(body);
    const answer = answered.get(idempotencyKey) ?? { id: storeId(document) };
    if (!answered.has(idempotencyKey)) stored.set(document, body);
    answered.set(idempotencyKey, answer);
    return answer;
  });

  return {
    sourceUrl: source.url,
    analysisUrl: analysis.url,
    storeUrl: store.url,
    stored,
    calls,
    close: async () => {
      await Promise.all([source.close(), analysis.close(), store.close()]);
    },
  };
}

async function listen(calls: Map<string, number>, serve: Serve): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const where = request.url ?? '/';
    calls.set(where, (calls.get(where) ?? 0) + 1);
    const send = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    readJson(request)
      .then((body) => serve(where, body, String(request.headers['idempotency-key'])))
      .then((answer) => (answer === undefined ? send(404, { error: `nothing is at ${where}` }) : send(200, answer)))
      .catch((error: unknown) => send(400, { error: String(error) }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on TCP.
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // No encoding is set.
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

/** What the store must have got for an analysis. */
export function storedForm({ document, sha256: digest, quality, readability, entities }: Analysis): object {
  return { document, sha256: digest, quality, readability, entities };
}
