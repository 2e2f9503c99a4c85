import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { answers, egressFixtures, faultOf, init } from '../../support/egress.ts';
import { type Handle, startHttpServer } from '../../support/http-server.ts';

const { egressOf, hello, serve } = egressFixtures();

describe('redirects', () => {
  const redirectTo =
    (location: string, status = 302): Handle =>
    (_request, response) => {
      response.writeHead(status, { location }).end();
    };

  test.each([
    ['http://169.254.169.254/latest/'],
    ['http://[::ffff:169.254.169.254]/'],
    ['http://metadata.google.internal/'],
    ['file:///etc/passwd'],
    ['http://user@127.0.0.1/'],
  ])('to %s are refused', async (location) => {
    const server = await serve(redirectTo(location));
    expect((await faultOf(egressOf().fetch(server.url, init({ trusted: true })))).fault).toBe('denied');
  });

  test('of a trusted service do not make the next host trusted', async () => {
    const inside = await hello();
    const first = await serve(redirectTo(inside.url));
    const error = await faultOf(egressOf({ policy: 'registered' }).fetch(first.url, init({ trusted: true })));
    expect(error.fault).toBe('denied');
    expect(inside.received).toEqual([]);
  });

  test('in a chain each hop is checked', async () => {
    const second = await serve(redirectTo('http://10.0.0.1/'));
    const first = await serve(redirectTo(`${second.url}/next`));
    const isTrustedOrigin = (url: URL): boolean => url.hostname === '127.0.0.1';
    expect((await faultOf(egressOf({ policy: 'registered', isTrustedOrigin }).fetch(first.url, init()))).fault).toBe(
      'denied',
    );
    expect(second.received).toHaveLength(1);
  });

  test('are followed five times and no further', async () => {
    const server = await serve((request, response) => {
      const left = Number(request.path.slice(1));
      if (left === 0) response.end('there');
      else response.writeHead(302, { location: `/${left - 1}` }).end('moved');
    });
    expect(await (await egressOf().fetch(`${server.url}/5`, init())).text()).toBe('there');
    expect((await faultOf(egressOf().fetch(`${server.url}/6`, init()))).fault).toBe('too_many_redirects');
  });

  test.each([
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [303, 'POST', 'GET', ''],
    [303, 'PUT', 'GET', ''],
    [302, 'PUT', 'PUT', 'data'],
    [307, 'POST', 'POST', 'data'],
    [308, 'POST', 'POST', 'data'],
  ])('%d turns %s into %s', async (status, method, becomes, body) => {
    const server = await serve((request, response) => {
      if (request.path === '/') response.writeHead(status, { location: '/next' }).end();
      else response.end();
    });
    const headers = { 'content-type': 'text/plain', authorization: 'Bearer t' };
    await egressOf().fetch(server.url, init({ method, body: 'data', headers }));
    expect(server.received[1]).toMatchObject({ method: becomes, body, path: '/next' });
    expect(server.received[1]?.headers['content-type']).toBe(body === '' ? undefined : 'text/plain');
    expect(server.received[1]?.headers.authorization).toBe('Bearer t');
  });

  test('carry no credentials to another origin', async () => {
    const other = await hello();
    const first = await serve(redirectTo(other.url));
    const headers = {
      Authorization: 'Bearer t',
      Cookie: 'a=1',
      'X-Api-Key': 'k',
      'X-Secret': 's',
      Accept: 'text/x',
      traceparent: 'tp',
    };
    await egressOf().fetch(first.url, init({ headers }));
    expect(first.received[0]?.headers).toMatchObject({ authorization: 'Bearer t', 'x-secret': 's' });
    expect(other.received[0]?.headers).toMatchObject({ accept: 'text/x', traceparent: 'tp' });
    for (const name of ['authorization', 'cookie', 'x-api-key', 'x-secret'])
      expect(other.received[0]?.headers).not.toHaveProperty(name);
  });

  test('carry no body to another host', async () => {
    const other = await hello();
    const first = await serve(redirectTo(`http://other.test:${other.port}/`, 307));
    const work = egressOf({ lookup: answers('127.0.0.1') }).fetch(first.url, init({ method: 'POST', body: 'secret' }));
    expect((await faultOf(work)).fault).toBe('denied');
    expect(other.received).toEqual([]);
  });
});

describe('requests', () => {
  test.each([
    ['X-A', 'b\r\nX-Injected: 1'],
    ['X-A', 'b\nc'],
    ['X-A', 'nul\0'],
    ['X-A', 'snow ☃'],
    ['X-A\r\nX-Injected', '1'],
    ['X A', '1'],
    ['', '1'],
    ['Host', 'internal'],
    ['content-length', '5'],
    ['Transfer-Encoding', 'chunked'],
    ['CONNECTION', 'close'],
  ])('the header %j: %j is refused', async (name, value) => {
    const server = await hello();
    expect((await faultOf(egressOf().fetch(server.url, init({ headers: { [name]: value } })))).fault).toBe(
      'bad_request',
    );
    expect(server.received).toEqual([]);
  });

  test.each(['CONNECT', 'TRACE', 'GET /x HTTP/1.1\r\n'])('the method %j is refused', async (method) => {
    expect((await faultOf(egressOf().fetch('http://127.0.0.1/', init({ method })))).fault).toBe('bad_request');
  });

  test('a relative URL is refused', async () => {
    expect((await faultOf(egressOf().fetch('/x', init()))).fault).toBe('bad_request');
  });
});

describe('answers', () => {
  const text = 'grüße '.repeat(1_000);
  test.each([
    ['gzip', gzipSync(text)],
    ['deflate', deflateSync(text)],
    ['deflate', deflateRawSync(text)],
    ['br', brotliCompressSync(text)],
    ['gzip, br', brotliCompressSync(gzipSync(text))],
    ['identity', Buffer.from(text)],
  ])('in %s are decompressed', async (encoding, bytes) => {
    const server = await serve(
      (_request, response) => void response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
    );
    expect(await (await egressOf().fetch(server.url, init())).text()).toBe(text);
  });

  test.each([
    ['gzip', gzipSync(Buffer.alloc(5_000_000))],
    ['br', brotliCompressSync(Buffer.alloc(5_000_000))],
    ['identity', Buffer.alloc(1_000_001)],
  ])('that are too large once they are unpacked from %s end', async (encoding, bytes) => {
    const server = await serve(
      (_request, response) => void response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
    );
    expect((await faultOf(egressOf({ maxBytes: 1_000_000 }).fetch(server.url, init()))).fault).toBe('too_large');
  });

  test('that never end are cut off at the limit', async () => {
    const server = await serve((_request, response) => {
      const pour = (): void => {
        while (response.writable && response.write(Buffer.alloc(64_000)));
        response.once('drain', pour);
      };
      pour();
    });
    expect((await faultOf(egressOf({ maxBytes: 1_000_000 }).fetch(server.url, init()))).fault).toBe('too_large');
  });

  test.each([
    ['gzip', Buffer.from('not gzip')],
    ['gzip', gzipSync('cut off').subarray(0, 12)],
    ['compress', Buffer.from('x')],
    ['gzip, gzip, gzip', Buffer.from('x')],
  ])('that cannot be unpacked from %s are an error', async (encoding, bytes) => {
    const server = await serve(
      (_request, response) => void response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
    );
    expect((await faultOf(egressOf().fetch(server.url, init()))).fault).toBe('bad_answer');
  });

  test('are read by their charset, and their body is iterable', async () => {
    const server = await serve(
      (_request, response) =>
        void response
          .writeHead(200, { 'content-type': 'text/plain; charset=iso-8859-1', 'X-A': '1' })
          .end(Buffer.from('ü', 'latin1')),
    );
    const answer = await egressOf().fetch(server.url, init());
    expect(await answer.text()).toBe('ü');
    expect(answer.headers).toMatchObject({ 'x-a': '1' });
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body ?? []) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(Buffer.from('ü', 'latin1'));
  });

  test('without a body have none', async () => {
    const server = await serve((_request, response) => void response.writeHead(204).end());
    const answer = await egressOf().fetch(server.url, init());
    expect(answer.body).toBeUndefined();
    expect(await answer.text()).toBe('');
  });
});

describe('faults', () => {
  test('nobody listens, or the connection breaks: unreachable', async () => {
    const gone = await startHttpServer(() => undefined);
    await gone.close();
    const refused = await faultOf(egressOf().fetch(gone.url, init()));
    expect(refused).toMatchObject({ fault: 'unreachable', message: expect.stringContaining('ECONNREFUSED') });
    const broken = await serve((_request, response) => void response.destroy());
    expect((await faultOf(egressOf().fetch(broken.url, init()))).fault).toBe('unreachable');
    const half = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half');
      setImmediate(() => response.destroy());
    });
    expect((await faultOf(egressOf().fetch(half.url, init()))).fault).toBe('unreachable');
  });

  test('a name that does not resolve is unreachable and asked again the next time', async () => {
    const lookup = vi.fn(() => Promise.reject(new Error('ENOTFOUND')));
    const egress = egressOf({ lookup });
    for (let i = 0; i < 2; i += 1)
      expect((await faultOf(egress.fetch('http://gone.test/', init()))).fault).toBe('unreachable');
    expect(lookup).toHaveBeenCalledTimes(2);
  });

  test.each(['headers', 'body', 'look-up'])('the signal ends a request that hangs in its %s', async (where) => {
    const server = await serve((_request, response) => {
      if (where === 'body') response.writeHead(200).write('begun');
    });
    const options = where === 'look-up' ? { lookup: () => new Promise<never>(() => undefined) } : {};
    const abort = new AbortController();
    const reason = new Error('deadline');
    const url = where === 'look-up' ? 'http://slow.test/' : server.url;
    const work = egressOf(options).fetch(url, { signal: abort.signal });
    if (where !== 'look-up') await vi.waitFor(() => expect(server.received).toHaveLength(1));
    abort.abort(reason);
    await expect(work).rejects.toBe(reason);
  });
});
