/**
 * A server that takes WebSockets is handed every request with `Upgrade`, also those that only offer HTTP/2
 * (`h2c`), as some clients do with every first request. RFC 9110, 7.8: such an offer may be ignored. So the request goes to
 * the server once more as it was, but for the offer.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

const OFFER = new Set(['upgrade', 'http2-settings']);

/** True: it was none for a WebSocket, and is answered as any other request. */
export function ignoredUpgrade(server: Server, request: IncomingMessage, stream: Duplex, head: Buffer): boolean {
  if (request.headers.upgrade?.toLowerCase() === 'websocket') return false;
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
  for (let n = 0; n < request.rawHeaders.length; n += 2) {
    const name = request.rawHeaders[n] ?? '';
    const value = withoutOffer(name.toLowerCase(), request.rawHeaders[n + 1] ?? '');
    if (value !== undefined) lines.push(`${name}: ${value}`);
  }
  // Node reads headers as Latin-1. The body, where there is one, has not been read yet.
  stream.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit(stream instanceof TLSSocket ? 'secureConnection' : 'connection', stream);
  return true;
}

function withoutOffer(name: string, value: string): string | undefined {
  if (OFFER.has(name)) return undefined;
  if (name !== 'connection') return value;
  const remaining = value.split(',').filter((token) => !OFFER.has(token.trim().toLowerCase()));
  return remaining.length === 0 ? undefined : remaining.join(',');
}
