/** A small real service that keeps every call with its time, for tests of what actions send out. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Call {
  method: string;
  path: string;
  query: Record<string, string>;
  headers: IncomingHttpHeaders;
  /** Parsed when it is JSON. */
  body: unknown;
  idempotencyKey: string | undefined;
  /** performance.now() of the arrival. */
  at: number;
  /** The connection was closed before the answer was complete. */
  abandoned: boolean;
}
export type Reply = { status?: number; headers?: Record<string, string>; body?: unknown };
/** `undefined`: never answers. */
export type Answering = (call: Call, response: ServerResponse) => Reply | undefined | Promise<Reply | undefined>;

export interface Service {
  url: string;
  calls: Call[];
  /** Replaces what it answers; at first `{ok: true}`. */
  answer(answering: Answering): void;
  close(): Promise<void>;
}

export async function startService(first?: Answering): Promise<Service> {
  const calls: Call[] = [];
  let answering: Answering = first ?? (() => ({ body: { ok: true } }));
  const server = createServer((request, response) => {
    void serve(request, response).catch(() => response.destroy());
  });
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const call = await read(request);
    calls.push(call);
    response.on('close', () => {
      call.abandoned = !response.writableFinished;
    });
    const reply = await answering(call, response);
    if (reply === undefined || response.writableEnded || response.destroyed) return;
    const { status = 200, headers = {}, body = {} } = reply;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
  };
  // A caller that was stopped for a while must not find its connection closed: that would be a failed attempt.
  server.keepAliveTimeout = 120_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    answer(next) {
      answering = next;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function read(request: IncomingMessage): Promise<Call> {
  const at = performance.now();
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // No encoding is set.
  const text = Buffer.concat(chunks).toString();
  const url = new URL(request.url ?? '/', 'http://service');
  const key = request.headers['idempotency-key'];
  return {
    method: request.method ?? '',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: request.headers,
    body: /json/.test(request.headers['content-type'] ?? '') && text !== '' ? JSON.parse(text) : text,
    idempotencyKey: typeof key === 'string' ? key : undefined,
    at,
    abandoned: false,
  };
}
