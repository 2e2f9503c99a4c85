/**
 * A call is served by the operation of the HTTP API that does the same: its request passes the whole middleware, with the
 * headers and on the connection of the call. So identity, permissions, limits, idempotency and audit are those of HTTP.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Code, ConnectError, createContextKey, type HandlerContext } from '@connectrpc/connect';
import type { InProcess } from '../../http/server/in-process.ts';
import { invalid, problemError, unavailable } from './problems.ts';

/** From where a call came. */
export interface CallOrigin {
  carrier: Socket;
  /** Names and values in turn. */
  headers: readonly string[];
}

export const CALL_ORIGIN = createContextKey<CallOrigin | undefined>(undefined);

export interface HttpCall {
  method: 'GET' | 'POST';
  /** Each part of it is encoded. */
  path: string;
  /** JSON. */
  body?: string;
  /** application/json when left out. */
  accept?: string;
  /** Are taken where the call itself has no header of that name. */
  headers?: Readonly<Record<string, string>>;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
}

export interface HttpCalls {
  /** Rejects with the status of the problem where it is not a success. */
  send(context: HandlerContext, call: HttpCall): Promise<HttpAnswer>;
  /** Of an answer without end; rejects likewise. */
  open(context: HandlerContext, call: HttpCall): Promise<IncomingMessage>;
  /** From the process itself, without credentials. */
  sendAsNobody(carrier: Socket, path: string): Promise<HttpAnswer>;
}

/** What stands in the headers of a call but is not for HTTP: it belongs to the protocol, or speaks of another body. */
const DROPPED =
  /^(?::.*|host|content-.*|accept|accept-encoding|te|trailer|transfer-encoding|connection|keep-alive|upgrade|proxy-connection|http2-settings|expect|range|if-.*|last-event-id|grpc-.*|connect-.*|x-grpc-web|x-user-agent)$/;
/** What an answer says besides its body, and a status with it. */
const SENT_ON = [
  ...['x-request-id', 'x-correlation-id', 'traceparent', 'ratelimit', 'ratelimit-policy', 'retry-after'],
  ...['idempotency-replayed', 'execution-deduplicated', 'www-authenticate'],
];
const KEY = 'idempotency-key';
const NOBODY = ['host', 'localhost'];
const BROKEN_SECONDS = 2;

export function createHttpCalls(inside: InProcess): HttpCalls {
  function start(origin: CallOrigin, { method, path, body, accept, headers = {} }: HttpCall): ClientRequest {
    const all = [...originHeaders(origin.headers, headers), 'accept', accept ?? 'application/json'];
    all.push('connection', 'close');
    if (body !== undefined) {
      all.push('content-type', 'application/json', 'content-length', String(Buffer.byteLength(body)));
    }
    try {
      const request = inside.request(origin.carrier, { method, path, headers: all });
      request.end(body);
      return request;
    } catch {
      // A character that may stand in no header and in no path.
      throw invalid('', 'The metadata or an id of the request cannot be sent on as HTTP');
    }
  }

  async function answerTo(context: HandlerContext, call: HttpCall): Promise<IncomingMessage> {
    const origin = context.values.get(CALL_ORIGIN);
    if (origin === undefined) throw new Error('a call without its origin');
    const answer = await answered(start(origin, call), context.signal);
    for (const name of SENT_ON) {
      const value = answer.headers[name];
      if (value !== undefined) context.responseHeader.set(name, String(value));
    }
    if ((answer.statusCode ?? 500) >= 300) throw await errorIn(answer);
    return answer;
  }

  return {
    open: answerTo,
    async send(context, call) {
      return read(await answerTo(context, call), context.signal);
    },
    async sendAsNobody(carrier, path) {
      return read(await answered(start({ carrier, headers: NOBODY }, { method: 'GET', path })));
    },
  };
}

function originHeaders(headers: readonly string[], otherwise: Readonly<Record<string, string>>): string[] {
  const all: string[] = [];
  const names = new Set<string>();
  const sent: string[] = [];
  let host = 'localhost';
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] ?? '').toLowerCase();
    const value = headers[at + 1] ?? '';
    names.add(name);
    if (name === KEY) sent.push(value);
    if (name === ':authority' || name === 'host') host = value;
    if (!DROPPED.test(name)) all.push(name, value);
  }
  for (const [name, value] of Object.entries(otherwise)) {
    if (!names.has(name)) all.push(name, value);
    else if (name === KEY && !sent.includes(value))
      throw invalid('idempotency_key', `differs from ${KEY} in the metadata`);
  }
  return ['host', host, ...all];
}

function answered(request: ClientRequest, signal?: AbortSignal): Promise<IncomingMessage> {
  const stop = () => void request.destroy();
  if (signal?.aborted === true) stop();
  signal?.addEventListener('abort', stop, { once: true });
  request.once('close', () => signal?.removeEventListener('abort', stop));
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', () => reject(brokenOff(signal)));
  });
}

/** By the one that did it: the deadline or the client of the call, else the server. */
export function brokenOff(signal: AbortSignal | undefined): ConnectError {
  if (signal?.aborted !== true) return unavailable('The answer was broken off', BROKEN_SECONDS);
  return ConnectError.from(signal.reason, Code.Canceled);
}

async function read(answer: IncomingMessage, signal?: AbortSignal): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of answer) chunks.push(chunk as Buffer); // No encoding is set.
  } catch {
    throw brokenOff(signal);
  }
  return { status: answer.statusCode ?? 500, headers: answer.headers, text: Buffer.concat(chunks).toString('utf8') };
}

async function errorIn(answer: IncomingMessage): Promise<ConnectError> {
  const { status, headers, text } = await read(answer);
  const sent = new Headers();
  for (const name of SENT_ON) {
    const value = headers[name];
    if (value !== undefined) sent.set(name, String(value));
  }
  return problemError({ status, text, retryAfter: headers['retry-after'] }, sent);
}
