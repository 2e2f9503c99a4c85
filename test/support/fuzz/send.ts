/** Sends what a well-behaved client could not: node's own client is asked to check as little as it can. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { type FuzzRequest, targetOf } from './requests.ts';

export interface FuzzAnswer {
  status: number;
  headers: Array<[string, string]>;
  body: string;
  /** It went on, so only its beginning was read. */
  isStream: boolean;
}

const PATIENCE_MS = 60_000;
const MAX_BODY = 8_000_000;

export interface Sender {
  send(request: FuzzRequest): Promise<FuzzAnswer>;
  close(): void;
}

export function createSender(port: number): Sender {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  return {
    close: () => agent.destroy(),
    send: (given) =>
      new Promise((resolve, reject) => {
        let answered = false;
        const request = httpRequest({
          agent,
          host: '127.0.0.1',
          port,
          method: given.method,
          path: targetOf(given),
          timeout: PATIENCE_MS,
        });
        for (const [name, values] of grouped(given.headers))
          request.setHeader(name, values.length === 1 ? (values[0] ?? '') : values);
        // Node's client would send the body of a GET without saying how long it is.
        if (given.body !== undefined) request.setHeader('content-length', given.body.length);
        request.on('response', (response) => {
          answered = true;
          read(response).then(resolve, reject);
        });
        request.on('timeout', () => request.destroy(new Error(`no answer in ${PATIENCE_MS} ms`)));
        // A server that has refused the body closes the connection while it is still being sent.
        request.on('error', (error) => {
          if (!answered) reject(error);
        });
        request.end(given.body);
      }),
  };
}

function grouped(headers: Array<[string, string]>): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [name, value] of headers) groups.set(name, [...(groups.get(name) ?? []), value]);
  return groups;
}

async function read(response: IncomingMessage): Promise<FuzzAnswer> {
  const isStream = /event-stream/.test(response.headers['content-type'] ?? '');
  const chunks: Buffer[] = [];
  let length = 0;
  const headers: Array<[string, string]> = [];
  for (let n = 0; n < response.rawHeaders.length; n += 2)
    headers.push([(response.rawHeaders[n] ?? '').toLowerCase(), response.rawHeaders[n + 1] ?? '']);
  if (isStream) {
    response.destroy();
    response.on('error', () => undefined);
  } else {
    for await (const chunk of response) {
      chunks.push(chunk as Buffer); // No encoding was set.
      length += (chunk as Buffer).length;
      if (length > MAX_BODY) throw new Error(`an answer of more than ${MAX_BODY} bytes`);
    }
  }
  return { status: response.statusCode ?? 0, headers, body: Buffer.concat(chunks).toString(), isStream };
}

/** Bytes as they are; resolves to all that came back until the connection was closed. */
export function sendBytes(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    const done = () => {
      clearTimeout(late);
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('latin1'));
    };
    const late = setTimeout(done, PATIENCE_MS);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', done);
    socket.on('close', done);
  });
}
