import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { classifyAddress } from '../../../src/egress/addresses.ts';
import { answers, egressFixtures, faultOf, init } from '../../support/egress.ts';

const { egressOf, hello, closeLater } = egressFixtures();

describe('addresses', () => {
  test.each([
    ['169.254.169.254', 'refused'],
    ['169.254.0.1', 'refused'],
    ['100.100.100.200', 'refused'],
    ['168.63.129.16', 'refused'],
    ['0.0.0.0', 'refused'],
    ['0.1.2.3', 'refused'],
    ['224.0.0.1', 'refused'],
    ['239.255.255.250', 'refused'],
    ['255.255.255.255', 'refused'],
    ['240.0.0.1', 'refused'],
    ['192.0.2.7', 'refused'],
    ['::', 'refused'],
    ['fe80::1', 'refused'],
    ['fe80::1%eth0', 'refused'],
    ['fec0::1', 'refused'],
    ['ff02::1', 'refused'],
    ['fd00:ec2::254', 'refused'],
    ['fd00:0ec2:0:0::0254', 'refused'],
    ['2001:db8::1', 'refused'],
    ['2001::1', 'refused'],
    ['4000::1', 'refused'],
    ['::ffff:169.254.169.254', 'refused'],
    ['::ffff:a9fe:a9fe', 'refused'],
    ['::169.254.169.254', 'refused'],
    ['64:ff9b::169.254.169.254', 'refused'],
    ['64:ff9b:1::169.254.169.254', 'refused'],
    ['2002:a9fe:a9fe::1', 'refused'],
    ['::ffff:0:169.254.169.254', 'refused'],
    ['not an address', 'refused'],
    ['127.0.0.1', 'private'],
    ['127.9.9.9', 'private'],
    ['10.1.2.3', 'private'],
    ['172.16.0.1', 'private'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['::1', 'private'],
    ['fd12::1', 'private'],
    ['::ffff:127.0.0.1', 'private'],
    ['64:ff9b::10.0.0.1', 'private'],
    ['2002:7f00:1::', 'private'],
    ['8.8.8.8', 'public'],
    ['2606:4700::1111', 'public'],
    ['::ffff:8.8.8.8', 'public'],
  ])('%s is %s', (address, expected) => {
    expect(classifyAddress(address)).toBe(expected);
  });
});

describe('what is always refused', () => {
  test.each([
    'ftp://example.com/',
    'file:///etc/passwd',
    'data:text/plain,x',
    'http://user:pass@127.0.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://metadata.google.internal/',
    'http://METADATA.google.internal./',
    'http://[fd00:ec2::254]/',
    'http://2852039166/',
    'http://0xa9fea9fe/',
    'http://0251.0376.0251.0376/',
    'http://[::ffff:a9fe:a9fe]/',
    'http://0.0.0.0/',
    'http://0/',
    'http://[::]/',
    'http://255.255.255.255/',
  ])('%s, even for a trusted caller', async (url) => {
    const error = await faultOf(egressOf({ isTrustedOrigin: () => true }).fetch(url, init({ trusted: true })));
    expect(error.fault).toBe('denied');
  });

  test('a name is refused when only one of its addresses is', async () => {
    const egress = egressOf({ lookup: answers('127.0.0.1', '169.254.169.254') });
    const error = await faultOf(egress.fetch('http://rebound.test/', init()));
    expect(error.fault).toBe('denied');
    expect(error.message).not.toContain('169.254');
  });

  test('our own stores and listeners, whatever name or spelling leads there, unless the configuration names one', async () => {
    const own = await hello();
    const options = { lookup: answers('127.0.0.1'), ownAddresses: [{ host: 'localhost', port: own.port }] };
    for (const host of ['127.0.0.1', 'localhost', 'db.test', '127.0.0.2', '[::ffff:127.0.0.1]', '2130706433']) {
      expect((await faultOf(egressOf(options).fetch(`http://${host}:${own.port}/`, init()))).fault).toBe('denied');
    }
    expect(own.received).toEqual([]);
    const answer = await egressOf({ ...options, isTrustedOrigin: () => true }).fetch(`${own.url}/`, init());
    expect(answer.status).toBe(200);
  });

  test('a listener on all addresses is reached by each of them', async () => {
    const own = await hello();
    const egress = egressOf({ ownAddresses: [{ host: '0.0.0.0', port: own.port }] });
    expect((await faultOf(egress.fetch(own.url, init()))).fault).toBe('denied');
  });
});

describe('policies', () => {
  test.each([
    ['internal', 'private', true],
    ['registered', 'private', false],
    ['public-only', 'private', false],
    ['none', 'private', false],
    ['none', 'public', false],
  ] as const)('%s: a %s address is allowed: %s', async (policy, kind, allowed) => {
    const server = await hello();
    const lookup = answers(kind === 'private' ? '127.0.0.1' : '8.8.8.8');
    const work = egressOf({ policy, lookup }).fetch(`http://some.test:${server.port}/`, init());
    if (allowed) expect(await (await work).text()).toBe('hello');
    else expect((await faultOf(work)).fault).toBe('denied');
    expect(server.received).toHaveLength(allowed ? 1 : 0);
    if (policy === 'none') expect(lookup).not.toHaveBeenCalled();
  });

  test.each(['registered', 'public-only', 'none'] as const)(
    '%s: a configured service is allowed though private',
    async (policy) => {
      const server = await hello();
      const isTrustedOrigin = vi.fn((url: URL) => Promise.resolve(url.port === String(server.port)));
      const answer = await egressOf({ policy, isTrustedOrigin }).fetch(server.url, init());
      expect(await answer.text()).toBe('hello');
      expect(isTrustedOrigin).toHaveBeenCalledOnce();
      const trusted = await egressOf({ policy }).fetch(server.url, init({ trusted: true }));
      expect(trusted.status).toBe(200);
    },
  );

  test.each([['a.test'], ['a.test:PORT'], ['*.test']])(
    'EGRESS_ALLOW %s opens a private address under registered, not under public-only',
    async (entry) => {
      const server = await hello();
      const options = { allow: [entry.replace('PORT', String(server.port))], lookup: answers('127.0.0.1') };
      const url = `http://a.test:${server.port}/`;
      expect((await egressOf({ ...options, policy: 'registered' }).fetch(url, init())).status).toBe(200);
      expect((await egressOf({ ...options, policy: 'none' }).fetch(url, init())).status).toBe(200);
      expect((await faultOf(egressOf({ ...options, policy: 'public-only' }).fetch(url, init()))).fault).toBe('denied');
    },
  );

  test('a refusal is logged and does not tell what would have answered', async () => {
    const warn = vi.fn();
    const egress = egressOf({ policy: 'registered', lookup: answers('10.1.2.3'), log: { warn } });
    const error = await faultOf(egress.fetch('http://inside.test/secret?token=1', init()));
    expect(error.message).toContain('http://inside.test');
    expect(error.message).not.toMatch(/10\.1\.2\.3|token/);
    expect(warn).toHaveBeenCalledOnce();
  });
});

describe('pinning', () => {
  test('the connection goes to the checked address, not to a second look-up, and the name stays in Host', async () => {
    const server = await hello();
    const lookup = answers('127.0.0.1');
    const answer = await egressOf({ lookup }).fetch(`http://no-such-name.invalid:${server.port}/x?y=1`, init());
    expect(answer.status).toBe(200);
    expect(lookup).toHaveBeenCalledOnce();
    expect(server.received[0]).toMatchObject({
      path: '/x?y=1',
      headers: { host: `no-such-name.invalid:${server.port}` },
    });
  });

  test('a name that answers differently the next time is checked anew and gets no old connection', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const server = await hello();
      let address = '127.0.0.1';
      const egress = egressOf({ lookup: () => Promise.resolve([{ address, family: 4 }]) });
      const url = `http://moving.test:${server.port}/`;
      expect((await egress.fetch(url, init())).status).toBe(200);
      address = '169.254.169.254';
      vi.advanceTimersByTime(3_000);
      expect((await faultOf(egress.fetch(url, init()))).fault).toBe('denied');
      address = '127.0.0.9';
      vi.advanceTimersByTime(3_000);
      // 127.0.0.9 has no listener: an answer could only come over the connection to 127.0.0.1.
      expect((await faultOf(egress.fetch(url, init()))).fault).toBe('unreachable');
      expect(server.received).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  test('TLS asks for the name and not for the address', async () => {
    const hellos: Buffer[] = [];
    const server = createServer((socket: Socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (data) => {
        hellos.push(data);
        socket.destroy();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closeLater(async () => void (await once(server.close(), 'close')));
    const { port } = server.address() as AddressInfo; // It listens on a port.
    const error = await faultOf(
      egressOf({ lookup: answers('127.0.0.1') }).fetch(`https://pinned.test:${port}/`, init()),
    );
    expect(error.fault).toBe('unreachable');
    expect(hellos[0]?.toString('latin1')).toContain('pinned.test');
  });
});
