/**
 * The HTTP server around the app: which protocol a connection speaks, its timeouts, and the answer to a client that does not
 * speak HTTP. HTTP/1.1 and HTTP/2 share the port, the limits and the count of connections.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket, TlsOptions } from 'node:tls';
import type { Problem } from '../../schemas/answers.ts';
import { detectProtocol } from './detect-protocol.ts';
import { createHttp2, type Http2, type OwnProtocol } from './http2.ts';
import { createInProcess, type InProcess } from './in-process.ts';

const HEADERS_TIMEOUT_MS = 10_000;
/** To send a whole request; the answer has its own limit. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the usual idle time of a proxy before us (60 s), so that it is never us who close first. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const CHECK_INTERVAL_MS = 1_000;
const MAX_HEADER_BYTES = 16_384;
const MAX_HEADERS = 200;
const MAX_CONNECTIONS = 10_000;

const REJECTIONS = new Map<string, { line: string; status: number; title: string }>([
  [
    'HPE_HEADER_OVERFLOW',
    { line: '431 Request Header Fields Too Large', status: 431, title: 'The headers are too large' },
  ],
  [
    'ERR_HTTP_REQUEST_TIMEOUT',
    { line: '408 Request Timeout', status: 408, title: 'The request took too long to arrive' },
  ],
]);
const BAD_REQUEST = { line: '400 Bad Request', status: 400, title: 'This is not HTTP' };

/** PEM. */
export interface ServerTls {
  cert: string;
  key: string;
  /** Who vouches for the certificates of clients, and whether each must have one; undefined: they are not requested. */
  clients?: { ca: string; required: boolean } | undefined;
}

/** Of HTTP/1.1 and of HTTP/2. */
export type RpcRequest = IncomingMessage | Http2ServerRequest;
export type RpcResponse = ServerResponse | Http2ServerResponse;

export interface ServedBeside {
  /** Takes the requests that are passed on in the process. */
  inside?: InProcess;
  /** Sees each request before the app, for which it must cost next to nothing. */
  own?: OwnProtocol<RpcRequest, RpcResponse> | undefined;
}

/** With a certificate and its key it speaks HTTPS, and nothing else. */
export function createHttpServer(
  app: RequestListener,
  tls?: ServerTls,
  maxConnections = MAX_CONNECTIONS,
  { inside = createInProcess(), own }: ServedBeside = {},
): Server {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const listener: RequestListener =
    own === undefined
      ? app
      : (request, response) => {
          if (!own(request, response, request.socket)) app(request, response);
        };
  const server =
    tls === undefined
      ? createServer(limits, listener)
      : createTlsServer({ ...limits, ...tlsOptions(tls), handshakeTimeout: HEADERS_TIMEOUT_MS }, listener);
  server.maxHeadersCount = MAX_HEADERS;
  // More connections are closed at once, so that those that are open go on.
  server.maxConnections = maxConnections;
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // Who did not get through the handshake could not read an answer.
    const unheard = error.code === 'ECONNRESET' || error.code?.startsWith('ERR_SSL') === true;
    if (unheard || !socket.writable) return socket.destroy();
    const { line, status, title } = REJECTIONS.get(error.code ?? '') ?? BAD_REQUEST;
    socket.end(rejection(line, status, title));
    return undefined;
  });
  const http2 = createHttp2(inside, { maxHeaderBytes: MAX_HEADER_BYTES, idleMs: KEEP_ALIVE_TIMEOUT_MS }, own);
  inside.serveBy(shareConnections(server, tls === undefined ? 'connection' : 'secureConnection', http2));
  closeTogether(server, http2);
  return server;
}

/** Puts the detection in front of what the server does with a connection, and returns that. */
function shareConnections(
  server: Server,
  event: 'connection' | 'secureConnection',
  http2: Http2,
): (socket: Duplex) => void {
  const listeners = server.listeners(event);
  const http1 = (socket: Duplex) => {
    for (const listener of listeners) listener.call(server, socket);
  };
  server.removeAllListeners(event);
  if (event === 'secureConnection') {
    server.on(event, (socket: TLSSocket) => (socket.alpnProtocol === 'h2' ? http2.take(socket) : http1(socket)));
    return http1;
  }
  const late = (socket: Socket) => socket.end(rejection(...lateRejection())).destroySoon();
  server.on(event, (socket: Socket) => detectProtocol(socket, HEADERS_TIMEOUT_MS, { http1, http2: http2.take, late }));
  return http1;
}

function lateRejection(): [string, number, string] {
  const { line, status, title } = REJECTIONS.get('ERR_HTTP_REQUEST_TIMEOUT') ?? BAD_REQUEST;
  return [line, status, title];
}

/** The server knows the connections of HTTP/1.1; those of HTTP/2 end with them. */
function closeTogether(server: Server, http2: Http2): void {
  const idle = server.closeIdleConnections.bind(server);
  const all = server.closeAllConnections.bind(server);
  server.closeIdleConnections = () => {
    idle();
    http2.closeIdle();
  };
  server.closeAllConnections = () => {
    all();
    http2.closeAll();
  };
}

/** Where none is required, authentication rejects one that nobody vouches for, with a problem document. */
function tlsOptions({ cert, key, clients }: ServerTls): TlsOptions {
  const common = { cert, key, minVersion: 'TLSv1.2' as const, ALPNProtocols: ['h2', 'http/1.1'] };
  if (clients === undefined) return common;
  return { ...common, ca: clients.ca, requestCert: true, rejectUnauthorized: clients.required };
}

/** As every other answer, although neither the path nor the ids of the request could be read. */
function rejection(line: string, status: number, title: string): string {
  const traceId = randomBytes(16).toString('hex');
  const problem: Problem = {
    type: 'urn:orchestrator:problem:invalid_request',
    title,
    status,
    detail: title,
    instance: '',
    code: 'invalid_request',
    trace_id: traceId,
    message: title,
    error_code: 'invalid_request',
  };
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${line}`,
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    `X-Request-Id: ${randomUUID()}`,
    `traceparent: 00-${traceId}-${randomBytes(8).toString('hex')}-01`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
