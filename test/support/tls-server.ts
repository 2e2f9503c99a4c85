/** A real HTTPS server on a free port of loopback, which keeps who showed which certificate. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';

export interface TlsRequest {
  method: string;
  path: string;
  body: string;
  /** The common name in the certificate of the client; undefined: it showed none. */
  client: string | undefined;
}

export interface TlsServer {
  url: string;
  received: TlsRequest[];
  close(): Promise<void>;
}

/** `clients`: who vouches for them; without it a certificate is requested, and none is needed. */
export async function startTlsServer(
  own: { cert: string; key: string; clients?: string },
  answer: (request: TlsRequest) => { status?: number; headers?: Record<string, string>; body?: unknown } = () => ({}),
): Promise<TlsServer> {
  const received: TlsRequest[] = [];
  const { cert, key, clients } = own;
  const required = clients === undefined ? { rejectUnauthorized: false } : { ca: clients, rejectUnauthorized: true };
  const server = createServer({ cert, key, requestCert: true, ...required }, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const subject = (request.socket as TLSSocket).getPeerCertificate().subject as { CN: string } | undefined;
    const seen = { method: request.method ?? '', path: request.url ?? '', body, client: subject?.CN };
    received.push(seen);
    const { status = 200, headers = {}, body: given = { client: seen.client } } = answer(seen);
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(given));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  return {
    url: `https://127.0.0.1:${port}`,
    received,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
