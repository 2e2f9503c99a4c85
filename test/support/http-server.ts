/** A real HTTP server on a free port of loopback, which keeps what it was asked. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}
export interface HttpServer {
  url: string;
  port: number;
  received: Received[];
  close(): Promise<void>;
}
export type Handle = (request: Received, response: ServerResponse) => void | Promise<void>;

export async function startHttpServer(handle: Handle, host = '127.0.0.1'): Promise<HttpServer> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void read(request).then(async (body) => {
      const seen = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
      received.push(seen);
      await handle(seen, response);
    });
  });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    received,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export function answerJson(
  response: ServerResponse,
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // No encoding is set.
  return Buffer.concat(chunks).toString();
}
