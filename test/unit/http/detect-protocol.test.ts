/** Which protocol a connection speaks, seen in its first bytes however they arrive. */
import { once } from 'node:events';
import { createServer as createHttp1 } from 'node:http';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { type AddressInfo, createServer, connect as dial, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { detectProtocol } from '../../../src/http/server/detect-protocol.ts';
import { createHttp2 } from '../../../src/http/server/http2.ts';
import { createInProcess } from '../../../src/http/server/in-process.ts';
import { openDoor } from '../../support/http-app.ts';

function deferred(): { promise: Promise<void>; resolve(): void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve: () => resolve() };
}

const closing: Array<() => unknown> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port; // It listens on TCP.
}

/** Says of each connection what it was taken for, and what could be read of it. */
async function detecting(withinMs: number) {
  const port = await listening(
    createServer((socket) => {
      const answer = (kind: string) => () => {
        socket.on('data', (chunk) => socket.write(`${kind} ${chunk.toString('latin1')}`));
      };
      const late = () => socket.end('late');
      detectProtocol(socket, withinMs, { http1: answer('1'), http2: answer('2'), late });
    }),
  );
  return async (...chunks: string[]) => {
    const socket = dial(port, '127.0.0.1');
    closing.push(() => socket.destroy());
    let said = '';
    socket.on('data', (chunk) => (said += chunk.toString('latin1')));
    for (const chunk of chunks) {
      socket.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => said, { timeout: 10_000 }).not.toBe('');
    return said;
  };
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

test('one that opens with the preface speaks HTTP/2, any other HTTP/1.1, and nothing that it sent is lost', async () => {
  const ask = await detecting(60_000);
  expect(await ask(PREFACE)).toBe(`2 ${PREFACE}`);
  expect(await ask('PR', 'I * HTTP/2.0\r\n\r\nSM', '\r\n\r\n')).toBe(`2 ${PREFACE}`);
  for (const first of ['GET / HTTP/1.1\r\n', 'POST /', 'PRI * HTTP/2.1', 'X', '\r\n'])
    expect(await ask(first)).toBe(`1 ${first}`);
  expect(await ask('P', 'O')).toBe('1 PO');
});

test('one that says nothing in time, or only a part of the preface, is ended', async () => {
  const ask = await detecting(50);
  expect(await ask()).toBe('late');
  expect(await ask('PRI * HT')).toBe('late');
});

async function http2Of(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  closing.push(() => session.destroy());
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  return session;
}

test('a connection has at most 100 streams at a time, and headers of 16 KiB', async () => {
  const door = await openDoor();
  closing.push(() => door.close());
  const session = await http2Of(door.port);
  expect(session.remoteSettings).toMatchObject({
    maxConcurrentStreams: 100,
    maxHeaderListSize: 16_384,
    enablePush: false,
  });
  const large = session.request({
    ':path': '/health',
    ...Object.fromEntries([...'abcde'].map((n) => [`x-${n}`, 'y'.repeat(4_000)])),
  });
  const code = await new Promise((resolve) => {
    large.on('response', () => resolve('answered'));
    large.on('close', () => resolve(large.rstCode));
    large.on('error', () => undefined);
  });
  expect(code).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  const fine = session.request({ ':path': '/health' });
  expect((await once(fine, 'response'))[0]).toMatchObject({ ':status': 200 });
  fine.close();
});

test('a flood of control frames closes the connection, and no other one', async () => {
  const door = await openDoor();
  closing.push(() => door.close());
  const [flooding, other] = [await http2Of(door.port), await http2Of(door.port)];
  let goaway: number | undefined;
  flooding.on('goaway', (code) => {
    goaway = code;
  });
  const closed = new Promise((resolve) => flooding.once('close', resolve));
  let pings = 0;
  const ping = () => {
    if (flooding.destroyed) return;
    pings += 1;
    flooding.ping(() => ping());
  };
  for (let at = 0; at < 5; at += 1) ping();
  await closed;
  expect(goaway).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  expect(pings).toBeGreaterThan(900);
  const answer = other.request({ ':path': '/health' });
  expect((await once(answer, 'response'))[0]).toMatchObject({ ':status': 200 });
  answer.close();
});

test('a request whose client goes away is aborted behind HTTP/2 too, and a large body and answer pass', async () => {
  let aborted = 0;
  const arrived = deferred();
  const inside = createInProcess();
  const http1 = createHttp1((request, response) => {
    if (request.url === '/never') {
      response.once('close', () => {
        aborted += 1;
      });
      return arrived.resolve();
    }
    return void request.pipe(response);
  });
  inside.serveBy((socket) => http1.emit('connection', socket));
  const http2 = createHttp2(inside, { maxHeaderBytes: 16_384, idleMs: 60_000 });
  const port = await listening(createServer((socket) => http2.take(socket)));
  closing.push(() => http2.closeAll());
  const session = await http2Of(port);
  const never = session.request({ ':path': '/never' });
  await arrived.promise;
  never.close(constants.NGHTTP2_CANCEL);
  await expect.poll(() => aborted, { timeout: 10_000 }).toBe(1);

  const body = Buffer.alloc(3_000_000, 'abc');
  const echo = session.request({ ':path': '/echo', ':method': 'POST' });
  echo.end(body);
  const chunks: Buffer[] = [];
  for await (const chunk of echo) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).equals(body)).toBe(true);
});

test('a server that closes lets the requests of HTTP/2 end, and takes no more', async () => {
  const door = await openDoor();
  const session = await http2Of(door.port);
  let settle: (() => void) | undefined;
  door.results.set('slow', {
    id: 'slow',
    status: 'running',
    final: false,
    attempts: 1,
    changedAt: new Date(),
  } as never);
  const waiting = new Promise<void>((waits) => {
    door.onWait.call = () => {
      waits();
      return new Promise((resolve) => (settle = () => resolve(true)));
    };
  });
  const slow = session.request({ ':path': '/result/slow?wait=20' });
  await waiting;
  const closed = once(session, 'close');
  door.closeGently();
  await once(session, 'goaway');
  settle?.();
  expect((await once(slow, 'response'))[0]).toMatchObject({ ':status': 200 });
  slow.resume();
  await closed;
});
