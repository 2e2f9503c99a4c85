/**
 * Bodies and frames of all kinds, made from valid ones and then spoiled: the answer is never INTERNAL, nothing crashes, and
 * nothing is left open. `npm test` sends a sample; `FRAMES=10000 npm run test:frames` sends as many as it says.
 */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom, type Random } from '../../../harness/random.ts';
import { METHODS, messageFor, nameOf } from '../../../support/rpc-methods.ts';
import { BODY_LIMIT, openRpcServer, type RpcServer } from '../../../support/rpc-server.ts';

const COUNT = Number(process.env['FRAMES'] ?? '400');
const SEED = Number(process.env['FRAMES_SEED'] ?? '1');
const INTERNAL = '13';

const TYPES = [
  ...['application/grpc', 'application/grpc+proto', 'application/grpc+json', 'application/grpc-web'],
  ...['application/grpc-web-text', 'application/proto', 'application/json', 'application/connect+proto'],
  ...['application/connect+json', 'application/grpc+thrift', 'text/plain'],
] as const;

let server: RpcServer;
beforeAll(async () => {
  server = await openRpcServer();
});
afterAll(() => server.close());

function envelope(message: Uint8Array, flags = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** A message as it should be, and the many ways in which it is not. */
function bodyFor(type: string, method: (typeof METHODS)[number], random: Random): Buffer {
  const json = type.includes('json');
  const init = messageFor(method);
  const good = json
    ? Buffer.from(JSON.stringify(init))
    : Buffer.from(toBinary(method.input, create(method.input, init)));
  const noise = Buffer.from(Array.from({ length: random.whole(0, 60) }, () => random.whole(0, 255)));
  const deep = Buffer.from(json ? '['.repeat(5_000) : Buffer.alloc(20_000, Buffer.from([0x2a, 0xff, 0x01])));
  const message = random.pick([good, good, noise, Buffer.concat([good, noise]), good.subarray(1), deep]);
  const flags = random.chance(0.2) ? random.whole(1, 255) : 0;
  const length = random.chance(0.2) ? random.whole(0, 0xffffffff) : message.length;
  const enveloped = /grpc|connect/.test(type) ? random.chance(0.9) : random.chance(0.1);
  const framed = enveloped ? envelope(message, flags, length) : message;
  const bytes = random.chance(0.15) ? Buffer.concat([framed, framed]) : framed;
  const cut = random.chance(0.15) ? bytes.subarray(0, random.whole(0, bytes.length)) : bytes;
  return type.endsWith('text') && random.chance(0.8) ? Buffer.from(cut.toString('base64')) : cut;
}

/** The status, wherever the protocol has it. */
async function statusOf(path: string, type: string, body: Buffer, more: Record<string, string>): Promise<string> {
  const session = connectHttp2(server.url);
  session.on('error', () => undefined);
  try {
    const stream = session.request({ ':path': path, ':method': 'POST', 'content-type': type, ...more });
    let status = '';
    stream.on('error', () => undefined);
    stream.on('response', (headers) => (status = String(headers['grpc-status'] ?? headers[':status'])));
    stream.on('trailers', (trailers) => (status = String(trailers['grpc-status'] ?? status)));
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      // A watcher has said all that there is to say.
      if (chunks.length > 2 || path.endsWith('/Watch')) stream.close();
    });
    stream.end(body);
    await new Promise((resolve) => stream.once('close', resolve));
    const text = Buffer.concat(chunks);
    const said = type.endsWith('text') ? Buffer.from(text.toString('latin1'), 'base64') : text;
    return /grpc-status: (\d+)|"code":"(\w+)"/.exec(said.toString('latin1'))?.slice(1).find(Boolean) ?? status;
  } finally {
    session.destroy();
  }
}

test('a body that is none ends the call, and never as INTERNAL', async () => {
  const random = createRandom(SEED);
  const seen = new Map<string, number>();
  for (let at = 0; at < COUNT; at += 1) {
    const [first, ...rest] = METHODS;
    if (first === undefined) throw new Error('there are no methods');
    const method = random.pick([first, ...rest]);
    const type = random.pick(TYPES);
    const body = bodyFor(type, method, random);
    const more: Record<string, string> = {
      ...(random.chance(0.1) ? { 'grpc-encoding': random.pick(['gzip', 'br', 'x']) } : {}),
      ...(random.chance(0.1) ? { 'grpc-timeout': random.pick(['1S', '0m', '-1S', 'x', '99999999999H']) } : {}),
      ...(random.chance(0.1) ? { 'connect-protocol-version': random.pick(['1', '2', '']) } : {}),
      ...(random.chance(0.1) ? { 'connect-content-encoding': 'gzip' } : {}),
    };
    const path = `/${nameOf(method).replace(/\.(?=\w+$)/, '/')}`;
    const status = await statusOf(path, type, body, more);
    seen.set(status, (seen.get(status) ?? 0) + 1);
    const what = `frame ${at} of seed ${SEED}: ${path} ${type} ${JSON.stringify(more)} ${body.toString('base64').slice(0, 200)}`;
    expect([INTERNAL, 'internal', '2', 'unknown', '500'], what).not.toContain(status);
  }
  // Some are as they should be, some are not.
  expect(seen.get('0')).toBeGreaterThan(0);
  expect(seen.get('3') ?? seen.get('invalid_argument')).toBeGreaterThan(0);
  expect(server.logged.filter(({ event }) => event === 'request failed')).toEqual([]);
});

test('frames of HTTP/2 that mean nothing, and streams that break off, leave nothing open', async () => {
  const random = createRandom(SEED);
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
  for (let at = 0; at < COUNT / 4; at += 1) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    await once(socket, 'connect');
    socket.write(preface);
    for (let count = random.whole(1, 8); count > 0; count -= 1) {
      const payload = Buffer.from(Array.from({ length: random.whole(0, 40) }, () => random.whole(0, 255)));
      const head = Buffer.alloc(9);
      head.writeUIntBE(random.chance(0.8) ? payload.length : random.whole(0, 0xffffff), 0, 3);
      head.writeUInt8(random.whole(0, 12), 3);
      head.writeUInt8(random.whole(0, 255), 4);
      head.writeUInt32BE(random.pick([0, 1, 3, 2, 0x7fffffff]), 5);
      socket.write(Buffer.concat([head, payload]));
    }
    if (random.chance(0.5)) socket.resetAndDestroy();
    else socket.end();
  }
  // Some have only what a client of HTTP/2 may say; a connection without a request is closed after ten seconds, one whose
  // client does not answer a PING after 75.
  await expect.poll(() => server.connections(), { timeout: 200_000, interval: 200 }).toBe(0);
  expect((await server.fetch('/health')).status).toBe(200);
});

test('a message larger than BODY_LIMIT_BYTES is RESOURCE_EXHAUSTED as soon as it says so', async () => {
  const path = '/orchestrator.v1.ToolService/ExecuteTool';
  const said = envelope(Buffer.alloc(0), 0, BODY_LIMIT + 1);
  expect(await statusOf(path, 'application/grpc', said, {})).toBe('8');
  expect(await statusOf(path, 'application/grpc-web', said, {})).toBe('8');
  const large = Buffer.from(JSON.stringify({ tool: 'x'.repeat(BODY_LIMIT) }));
  expect(await statusOf(path, 'application/json', large, {})).toBe('resource_exhausted');
});
