/**
 * HTTP/2 beside HTTP/1.1: what one connection may do, and how its requests are served. Every request that is not of another
 * protocol's own (gRPC) goes to the HTTP/1.1 server in the process: Express sets the prototypes of requests and responses to
 * those of HTTP/1.1, so it cannot be given those of HTTP/2.
 */
import type { IncomingMessage } from 'node:http';
import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
} from 'node:http2';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import type { InProcess } from './in-process.ts';

const MAX_STREAMS = 100;
/** Requests that a client breaks off: so many at once, and so many a second after that. */
const RESETS = { streamResetBurst: 200, streamResetRate: 20 };
const MAX_INVALID_FRAMES = 100;
/** Of control frames (PING, SETTINGS) a connection may send so many within the window, and some more with each request. */
const CONTROL_FRAMES = 1_000;
const CONTROL_FRAMES_PER_REQUEST = 20;
const CONTROL_WINDOW_MS = 10_000;
/** Within that a connection has its first request. */
const FIRST_REQUEST_MS = 10_000;
/** A client that does not answer a PING for that long is gone. */
const PONG_MS = 10_000;

/** RFC 9113, 8.2.2: they mean the connection, and HTTP/2 has no such fields. */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings', 'te', 'expect'],
]);

const HAS_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

export interface Http2Limits {
  maxHeaderBytes: number;
  /** A connection without requests is closed after that. */
  idleMs: number;
}

/** Serves requests of a protocol of its own: true says that it does so with this one. `carrier`: the connection. */
export type OwnProtocol<Request, Response> = (request: Request, response: Response, carrier: Socket) => boolean;

export interface Http2 {
  take(socket: Socket): void;
  /** No more requests are taken; connections end with their last one. */
  closeIdle(): void;
  closeAll(): void;
}

export function createHttp2(
  inside: InProcess,
  limits: Http2Limits,
  own?: OwnProtocol<Http2ServerRequest, Http2ServerResponse>,
): Http2 {
  const carriers = new WeakMap<Http2Session, Socket>();
  const sessions = new Set<Http2Session>();
  let arriving: Socket | undefined;
  const options = {
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: limits.maxHeaderBytes, enablePush: false },
    maxSessionInvalidFrames: MAX_INVALID_FRAMES,
    ...RESETS,
  };
  const server = createServer(options);

  server.on('session', (session) => {
    if (arriving !== undefined) carriers.set(session, arriving);
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', () => session.destroy());
    limitControlFrames(session);
    closeWhenIdle(session, limits.idleMs);
  });
  server.on('sessionError', () => undefined);
  server.on('request', (request, response) => {
    const carrier = request.stream.session && carriers.get(request.stream.session);
    if (carrier === undefined || response.stream.destroyed) return request.stream.close(constants.NGHTTP2_CANCEL);
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    if (own?.(request, response, carrier) === true) return undefined;
    return passOn(inside, request, response, carrier);
  });

  return {
    take(socket) {
      // The server of HTTP/1.1 lets clients end their side first; here nothing is asked or answered after that.
      socket.once('end', () => socket.end());
      arriving = socket;
      server.emit('connection', socket);
      arriving = undefined;
    },
    closeIdle() {
      for (const session of sessions) session.close();
    },
    closeAll() {
      for (const session of sessions) session.destroy();
    },
  };
}

/** A flood of them costs the client nothing, and us an answer to each. */
function limitControlFrames(session: Http2Session): void {
  let left = CONTROL_FRAMES;
  const count = () => {
    left -= 1;
    if (left >= 0 || session.destroyed) return;
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    session.destroy();
  };
  const window = setInterval(() => {
    left = Math.max(left, CONTROL_FRAMES);
  }, CONTROL_WINDOW_MS);
  window.unref();
  session.on('ping', count).on('remoteSettings', count);
  session.on('stream', () => {
    left = Math.min(left + CONTROL_FRAMES_PER_REQUEST, CONTROL_FRAMES * CONTROL_FRAMES_PER_REQUEST);
  });
  session.once('close', () => clearInterval(window));
}

function closeWhenIdle(session: Http2Session, idleMs: number): void {
  let open = 0;
  // It has sent something that ended the reading of frames, or waits: of the end of such a connection nobody hears.
  const unused = setTimeout(() => session.destroy(), FIRST_REQUEST_MS);
  unused.unref();
  session.once('close', () => clearTimeout(unused));
  session.on('stream', (stream) => {
    clearTimeout(unused);
    open += 1;
    stream.once('close', () => {
      open -= 1;
    });
  });
  session.setTimeout(idleMs, () => {
    if (open === 0) return session.close();
    // A stream may have nothing to say for long; whether somebody still listens, a PING finds out.
    const gone = setTimeout(() => session.destroy(), PONG_MS);
    gone.unref();
    if (!session.ping(() => clearTimeout(gone))) session.destroy();
  });
}

function passOn(
  inside: InProcess,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  carrier: Socket,
): undefined {
  const { stream } = response;
  const bodyless = stream.endAfterHeaders;
  let inner: ReturnType<InProcess['request']>;
  try {
    inner = inside.request(carrier, {
      method: request.method,
      path: request.url,
      headers: headersOf(request, bodyless),
    });
  } catch {
    // No such request can be made: a path or a header with characters that may not be there.
    stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
    return undefined;
  }
  stream.once('close', () => inner.destroy());
  inner.once('error', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  inner.once('response', (answer) => {
    if (stream.destroyed) return void answer.destroy();
    stream.respond(answerHeaders(answer), { endStream: request.method === 'HEAD' });
    if (request.method === 'HEAD') return void answer.resume();
    pipeline(answer, stream, (error) => {
      if (error !== undefined && error !== null) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
  });
  if (bodyless) inner.end();
  else request.pipe(inner);
  return undefined;
}

function headersOf(request: Http2ServerRequest, bodyless: boolean): string[] {
  const headers: string[] = ['host', request.authority];
  const cookies: string[] = [];
  let hasLength = false;
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] ?? '';
    const value = request.rawHeaders[at + 1] ?? '';
    if (name.startsWith(':') || name === 'host' || OF_CONNECTION.has(name)) continue;
    // RFC 9113, 8.2.3: one header, in as many fields as the client likes.
    if (name === 'cookie') {
      cookies.push(value);
      continue;
    }
    if (name === 'content-length') hasLength = true;
    headers.push(name, value);
  }
  if (cookies.length > 0) headers.push('cookie', cookies.join('; '));
  // In HTTP/1.1 it must be said where the body ends, and that there is none where one is expected.
  if (!bodyless && !hasLength) headers.push('transfer-encoding', 'chunked');
  if (bodyless && !hasLength && HAS_BODY.has(request.method)) headers.push('content-length', '0');
  headers.push('connection', 'close');
  return headers;
}

function answerHeaders({ statusCode, headers }: IncomingMessage): Record<string, string | string[] | number> {
  const kept = Object.entries(headers).filter(
    (entry): entry is [string, string | string[]] => entry[1] !== undefined && !OF_CONNECTION.has(entry[0]),
  );
  return { ...Object.fromEntries(kept), ':status': statusCode ?? 500 };
}
