import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test as base, expect } from 'vitest';
import { startTcpProxy } from '../../harness/servers/tcp-proxy.ts';
import { until } from '../../harness/until.ts';

/** A server that sends back what it gets, behind a proxy, and a client of it. */
const test = base.extend('echo', async ({ onTestFinished: _ }, { onCleanup }) => {
  const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  const proxy = await startTcpProxy({ host: '127.0.0.1', port });
  const clients: Socket[] = [];
  onCleanup(async () => {
    for (const client of clients) client.destroy();
    await proxy.close();
    server.close();
  });
  return {
    proxy,
    async connect() {
      const client = connect(proxy.port, '127.0.0.1');
      clients.push(client);
      const got = { text: '', closed: false };
      client.on('error', () => undefined);
      client.on('data', (chunk) => {
        got.text += chunk.toString();
      });
      client.on('close', () => {
        got.closed = true;
      });
      await once(client, 'connect');
      return { got, send: (text: string) => client.write(text) };
    },
  };
});

test('what is delayed and what is not arrives in the order in which it was sent', async ({ echo }) => {
  const { got, send } = await echo.connect();
  send('a');
  await until(() => got.text === 'a');
  echo.proxy.delay(60);
  send('b');
  await until(() => got.text === 'ab');
  send('c');
  echo.proxy.delay(0);
  send('d');
  await until(() => got.text.length === 4);
  expect(got.text).toBe('abcd');
});

test('while it is frozen connections stay and nothing passes; afterwards nothing is missing', async ({ echo }) => {
  const { got, send } = await echo.connect();
  echo.proxy.freeze();
  send('a');
  const late = await echo.connect();
  late.send('b');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect([got, late.got]).toEqual([
    { text: '', closed: false },
    { text: '', closed: false },
  ]);
  echo.proxy.thaw();
  await until(() => got.text === 'a' && late.got.text === 'b');
});

test('what is swallowed never arrives and nobody hears of an end, and new connections pass', async ({ echo }) => {
  const old = await echo.connect();
  old.send('a');
  await until(() => old.got.text === 'a');
  echo.proxy.swallow();
  old.send('b');
  const fresh = await echo.connect();
  fresh.send('c');
  await until(() => fresh.got.text === 'c');
  expect(old.got).toEqual({ text: 'a', closed: false });
  echo.proxy.swallow({ toCome: { except: /^let me in/ } });
  const [welcome, other] = [await echo.connect(), await echo.connect()];
  other.send('hello');
  welcome.send('let me in');
  await until(() => welcome.got.text === 'let me in');
  expect([other.got, fresh.got.text]).toEqual([{ text: '', closed: false }, 'c']);
});

test('a reset breaks every connection and lets in new ones; a shut door does not', async ({ echo }) => {
  const first = await echo.connect();
  echo.proxy.reset();
  await until(() => first.got.closed);
  const second = await echo.connect();
  second.send('a');
  await until(() => second.got.text === 'a');
  await echo.proxy.shut();
  await until(() => second.got.closed);
  await expect(echo.connect()).rejects.toThrow();
});
