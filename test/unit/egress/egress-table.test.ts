/**
 * Every way that we know to write an address that somebody should not reach, and what becomes of it under each policy. What
 * is refused never leaves: the connection that a row would make goes to a server that counts who comes.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createEgress, type Egress, type EgressDecision } from '../../../src/egress/egress.ts';
import { EgressError, type EgressFault } from '../../../src/egress/errors.ts';
import { createGuard, type EgressPolicy, type TenantEgress } from '../../../src/egress/guard.ts';
import { createResolve, type Lookup } from '../../../src/egress/resolve.ts';
import { answers, egressFixtures, faultOf, init } from '../../support/egress.ts';

const POLICIES = ['registered', 'internal', 'public-only', 'none'] as const satisfies EgressPolicy[];
type Expected = Record<(typeof POLICIES)[number] | 'service', boolean>;

/** Which policies let it through, and whether a service of the configuration may be there. */
const NEVER: Expected = { registered: false, internal: false, 'public-only': false, none: false, service: false };
const INSIDE: Expected = { ...NEVER, internal: true, service: true };
const PUBLIC: Expected = { registered: true, internal: true, 'public-only': true, none: false, service: true };
/** Our own: only what is registered leads there. */
const OURS: Expected = { ...NEVER, service: true };

const NAMES = new Map<string, string[]>([
  ['public.test', ['93.184.216.34']],
  ['public6.test', ['2606:4700::1111']],
  ['inside.test', ['10.1.2.3']],
  ['localhost', ['127.0.0.1', '::1']],
  ['mixed.test', ['93.184.216.34', '10.1.2.3']],
  ['mixed-metadata.test', ['93.184.216.34', '169.254.169.254']],
  ['mixed-mapped.test', ['93.184.216.34', '::ffff:169.254.169.254']],
  ['metadata.test', ['169.254.169.254']],
  ['mapped.test', ['::ffff:127.0.0.1']],
  ['zone.test', ['fe80::1%eth0']],
  ['xn--fiq228c.test', ['10.9.9.9']],
  ['database.test', ['10.0.0.5']],
  ['alias-of-database.test', ['10.0.0.5']],
  ['kubernetes.default.svc', ['10.96.0.1']],
]);
const lookup: Lookup = (host) => {
  const found = NAMES.get(host);
  if (found === undefined) return Promise.reject(Object.assign(new Error(host), { code: 'ENOTFOUND' }));
  return Promise.resolve(found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));
};
const OWN = [
  { host: 'database.test', port: 5432 },
  { host: '127.0.0.1', port: 6379 },
  { host: '0.0.0.0', port: 8000 },
  { host: '10.96.0.1', port: 443 },
];

const ROWS: ReadonlyArray<readonly [url: string, expected: Expected]> = [
  // Loopback, spelled in every way.
  ['http://127.0.0.1/', INSIDE],
  ['http://127.1/', INSIDE],
  ['http://127.0.1/', INSIDE],
  ['http://127.255.255.254/', INSIDE],
  ['http://2130706433/', INSIDE],
  ['http://0x7f000001/', INSIDE],
  ['http://0x7f.1/', INSIDE],
  ['http://0x7F.0x0.0x0.0x1/', INSIDE],
  ['http://0177.0.0.1/', INSIDE],
  ['http://017700000001/', INSIDE],
  ['http://127.0.0.1./', INSIDE],
  ['http://127.0.0.1:80/', INSIDE],
  ['http:127.0.0.1/', INSIDE],
  ['http:\\\\127.0.0.1\\x', INSIDE],
  ['http://%31%32%37.0.0.1/', INSIDE],
  ['http://①②⑦.⓪.⓪.①/', INSIDE],
  ['http://１２７.０.０.１/', INSIDE],
  ['http://127。0。0。1/', INSIDE],
  ['http://127．0．0．1/', INSIDE],
  ['http://localhost/', INSIDE],
  ['http://LOCALHOST./', INSIDE],
  ['http://ⓛocalhost/', INSIDE],
  ['http://[::1]/', INSIDE],
  ['http://[0:0:0:0:0:0:0:1]/', INSIDE],
  ['http://[::ffff:127.0.0.1]/', INSIDE],
  ['http://[::ffff:7f00:1]/', INSIDE],
  ['http://[::ffff:0:127.0.0.1]/', INSIDE],
  ['http://[64:ff9b::127.0.0.1]/', INSIDE],
  ['http://[2002:7f00:1::]/', INSIDE],
  ['http://mapped.test/', INSIDE],
  // IPv4-compatible addresses have been out of use since 2006: nothing that is meant well has one.
  ['http://[::127.0.0.1]/', NEVER],
  // Private networks.
  ['http://10.0.0.1/', INSIDE],
  ['http://172.16.0.1/', INSIDE],
  ['http://172.31.255.255/', INSIDE],
  ['http://192.168.0.1/', INSIDE],
  ['http://100.64.0.1/', INSIDE],
  ['http://100.127.255.254/', INSIDE],
  ['http://[fc00::1]/', INSIDE],
  ['http://[fd12:3456::1]/', INSIDE],
  ['http://[64:ff9b::10.0.0.1]/', INSIDE],
  ['http://[2002:a00:1::1]/', INSIDE],
  ['http://[2001:470:1:1:0:5efe:10.0.0.1]/', INSIDE],
  ['http://[2001:470:1:1:200:5efe:7f00:1]/', INSIDE],
  ['http://inside.test/', INSIDE],
  ['http://xn--fiq228c.test/', INSIDE],
  ['http://中文.test/', INSIDE],
  // One address of a name is enough to close it.
  ['http://mixed.test/', INSIDE],
  ['http://mixed-metadata.test/', NEVER],
  ['http://mixed-mapped.test/', NEVER],
  // Metadata services of clouds.
  ['http://169.254.169.254/latest/meta-data/', NEVER],
  ['http://169.254.169.254./', NEVER],
  ['http://169.254.169.254:80/', NEVER],
  ['https://169.254.169.254/', NEVER],
  ['http://2852039166/', NEVER],
  ['http://0xa9fea9fe/', NEVER],
  ['http://0xA9.0xFE.0xA9.0xFE/', NEVER],
  ['http://0251.0376.0251.0376/', NEVER],
  ['http://169.254.43518/', NEVER],
  ['http://169.16689662/', NEVER],
  ['http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/', NEVER],
  ['http://169。254。169。254/', NEVER],
  ['http://[::ffff:169.254.169.254]/', NEVER],
  ['http://[::ffff:a9fe:a9fe]/', NEVER],
  ['http://[0:0:0:0:0:ffff:a9fe:a9fe]/', NEVER],
  ['http://[::169.254.169.254]/', NEVER],
  ['http://[64:ff9b::a9fe:a9fe]/', NEVER],
  ['http://[64:ff9b:1::a9fe:a9fe]/', NEVER],
  ['http://[64:ff9b:1::8.8.8.8]/', NEVER],
  ['http://[2002:a9fe:a9fe::]/', NEVER],
  ['http://[2001:470:1:1:0:5efe:169.254.169.254]/', NEVER],
  ['http://169.254.170.2/', NEVER],
  ['http://[fd00:ec2::254]/', NEVER],
  ['http://[fd00:0ec2:0:0:0:0:0:0254]/', NEVER],
  ['http://[fd20:ce::254]/', NEVER],
  ['http://100.100.100.200/', NEVER],
  ['http://168.63.129.16/', NEVER],
  ['http://metadata.google.internal/', NEVER],
  ['http://METADATA.GOOGLE.INTERNAL./computeMetadata/v1/', NEVER],
  ['http://metadata.google.internal../', NEVER],
  ['http://metadata.google.internal。/', NEVER],
  ['http://ⓜetadata.google.internal/', NEVER],
  ['http://metadata/', NEVER],
  ['http://metadata.azure.internal/', NEVER],
  ['http://instance-data.ec2.internal/', NEVER],
  ['http://metadata.test/', NEVER],
  // What is nobody's, or everybody's.
  ['http://0.0.0.0/', NEVER],
  ['http://0/', NEVER],
  ['http://0x0/', NEVER],
  ['http://[::]/', NEVER],
  ['http://[::ffff:0.0.0.0]/', NEVER],
  ['http://169.254.0.1/', NEVER],
  ['http://[fe80::1]/', NEVER],
  ['http://[febf::1]/', NEVER],
  ['http://[fe80::5efe:7f00:1]/', NEVER],
  ['http://zone.test/', NEVER],
  ['http://224.0.0.1/', NEVER],
  ['http://239.255.255.250/', NEVER],
  ['http://[ff02::1]/', NEVER],
  ['http://255.255.255.255/', NEVER],
  ['http://240.0.0.1/', NEVER],
  ['http://192.0.0.8/', NEVER],
  ['http://192.0.2.1/', NEVER],
  ['http://198.18.0.1/', NEVER],
  ['http://192.88.99.1/', NEVER],
  ['http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/', NEVER],
  ['http://[2001:db8::1]/', NEVER],
  ['http://[fec0::1]/', NEVER],
  // Our own listeners and stores, and the cluster that we are in.
  ['http://database.test:5432/', OURS],
  ['http://DATABASE.test.:5432/', OURS],
  ['http://alias-of-database.test:5432/', OURS],
  ['http://10.0.0.5:5432/', OURS],
  ['http://[::ffff:10.0.0.5]:5432/', OURS],
  ['http://[64:ff9b::10.0.0.5]:5432/', OURS],
  ['http://localhost:6379/', OURS],
  ['http://127.0.0.2:6379/', OURS],
  ['http://[::1]:6379/', OURS],
  ['http://2130706433:6379/', OURS],
  ['http://127.0.0.1:8000/', OURS],
  ['http://mapped.test:8000/', OURS],
  ['https://kubernetes.default.svc/api', OURS],
  ['https://10.96.0.1/api', OURS],
  ['http://database.test:5433/', INSIDE],
  // Not HTTP, or with somebody's credentials in it.
  ['file:///etc/passwd', NEVER],
  ['FILE:///etc/passwd', NEVER],
  ['gopher://127.0.0.1:6379/_FLUSHALL', NEVER],
  ['ftp://public.test/', NEVER],
  ['dict://127.0.0.1:11211/', NEVER],
  ['ldap://public.test/', NEVER],
  ['ws://public.test/', NEVER],
  ['data:text/plain,x', NEVER],
  ['javascript:alert(1)', NEVER],
  ['blob:http://public.test/x', NEVER],
  ['http://user@public.test/', NEVER],
  ['http://user:password@public.test/', NEVER],
  ['http://:password@public.test/', NEVER],
  ['http://public.test@127.0.0.1/', NEVER],
  ['http://127.0.0.1%2f@public.test/', NEVER],
  // And what is meant for all.
  ['http://public.test/', PUBLIC],
  ['https://PUBLIC.test./', PUBLIC],
  ['http://public.test:8080/', PUBLIC],
  ['http://93.184.216.34/', PUBLIC],
  ['http://public6.test/', PUBLIC],
  ['http://[2606:4700::1111]/', PUBLIC],
  ['http://[::ffff:8.8.8.8]/', PUBLIC],
];

const refused = (work: Promise<unknown>) =>
  work.then(
    () => false,
    (error: unknown) => {
      if (error instanceof EgressError && error.fault === 'denied') return true;
      throw error;
    },
  );
const guardOf = (policy: EgressPolicy, tenants = new Map<string, TenantEgress>()) =>
  createGuard(
    { policy, allow: [], tenants, ownAddresses: OWN, isTrustedOrigin: () => false },
    createResolve(lookup, () => 0),
  );

describe('where a request may go', () => {
  test('the table has many rows, each of them once', () => {
    expect(ROWS.length).toBeGreaterThan(60);
    expect(new Set(ROWS.map(([url]) => url)).size).toBe(ROWS.length);
  });

  test.each(ROWS)('%s', async (text, expected) => {
    const url = new URL(text);
    const nobody = { trusted: false, tenantId: undefined };
    const found: Record<string, boolean> = {};
    for (const policy of POLICIES) found[policy] = !(await refused(guardOf(policy).admit(url, nobody)));
    const asService = await Promise.all(
      POLICIES.map((policy) => refused(guardOf(policy).admit(url, { ...nobody, trusted: true }))),
    );
    // A configured service is treated alike under every policy.
    expect(new Set(asService).size).toBe(1);
    expect({ ...found, service: asService[0] === false }).toEqual(expected);
  });

  test.each([
    'http://256.256.256.256/',
    'http://1.2.3.4.5/',
    'http://127.0.0.1%00.public.test/',
    'http://[::1%25lo]/',
    'http://[fe80::1%25eth0]/',
    'http://[127.0.0.1]/',
    'http://public.test:99999/',
    'http:///',
    '//public.test/',
    '/path',
    '',
  ])('%j is no URL at all', async (text) => {
    const asked = answers('127.0.0.1');
    const egress = createEgress({
      policy: 'internal',
      allow: [],
      ownAddresses: [],
      isTrustedOrigin: () => true,
      log: { warn: () => undefined },
      lookup: asked,
    });
    expect((await faultOf(egress.fetch(text, init({ trusted: true })))).fault).toBe('bad_request');
    expect(asked).not.toHaveBeenCalled();
    await egress.close();
  });

  test('a refusal does not tell what a name resolved to, nor why it is refused', async () => {
    const names = ['inside.test', 'metadata.test', 'zone.test', 'database.test:5432', 'localhost:6379', 'mixed.test'];
    const messages: string[] = [];
    for (const name of names) {
      const error = await faultOf(
        guardOf('registered').admit(new URL(`http://${name}/secret?t=1`), { trusted: false, tenantId: undefined }),
      );
      messages.push(error.message.replace(name, 'NAME'));
    }
    expect(new Set(messages)).toEqual(new Set(['the outbound policy (registered) refuses http://NAME']));
  });
});

describe('what is different for one tenant', () => {
  const tenants = new Map<string, TenantEgress>([
    ['open', { policy: 'internal', allow: [], deny: [] }],
    ['shut', { policy: 'none', allow: ['inside.test'], deny: [] }],
    ['network', { allow: ['10.1.0.0/16', 'fd12::/16', '[fd34::/16]:9200', '172.16.0.0/12:80'], deny: ['10.1.9.0/24'] }],
    ['public', { policy: 'public-only', allow: ['10.0.0.0/8'], deny: [] }],
    ['listed', { allow: ['10.0.0.1'], deny: ['public.test', '10.1.2.3', '*.evil.test', '[2606:4700::1111]:80'] }],
  ]);
  test.each([
    ['open', 'http://inside.test/', true],
    ['open', 'http://169.254.169.254/', false],
    ['other', 'http://inside.test/', false],
    ['shut', 'http://public.test/', false],
    ['shut', 'http://inside.test/', true],
    ['listed', 'http://10.0.0.1/', true],
    ['listed', 'http://[::ffff:10.0.0.1]/', true],
    ['listed', 'http://public.test/', false],
    ['listed', 'http://PUBLIC.test./', false],
    ['listed', 'http://93.184.216.34/', true],
    ['network', 'http://10.1.2.3:9200/', true],
    ['network', 'http://inside.test/', true],
    ['network', 'http://database.test:5432/', false],
    ['network', 'http://[::ffff:10.1.2.3]:9200/', true],
    ['network', 'http://167838211/', true],
    ['network', 'http://10.2.0.1/', false],
    ['network', 'http://10.1.9.1/', false],
    ['network', 'http://172.16.0.9/', true],
    ['network', 'http://172.16.0.9:81/', false],
    ['network', 'http://[fd12::9]:81/', true],
    ['network', 'http://[fd34::9]:9200/', true],
    ['network', 'http://[fd34::9]/', false],
    ['network', 'http://169.254.169.254/', false],
    ['public', 'http://10.1.2.3/', false],
    ['other', 'http://10.1.2.3/', false],
    ['other', 'http://public.test/', true],
    ['other', 'http://10.0.0.1/', false],
  ])('%s: %s is allowed: %s', async (tenantId, url, allowed) => {
    const guard = guardOf('registered', tenants);
    expect(await refused(guard.admit(new URL(url), { trusted: false, tenantId }))).toBe(!allowed);
  });

  test.each(['http://inside.test/', 'http://public.test/', 'http://10.1.2.3/', 'http://public6.test/'])(
    'what is denied to a tenant is denied although %s is a configured service',
    async (url) => {
      const guard = guardOf('registered', tenants);
      expect(await refused(guard.admit(new URL(url), { trusted: true, tenantId: 'listed' }))).toBe(true);
      expect(await refused(guard.admit(new URL(url), { trusted: true, tenantId: 'other' }))).toBe(false);
    },
  );
});

describe('an answer that redirects', () => {
  const { egressOf, serve, hello } = egressFixtures();
  const reachable = ROWS.filter(([, expected]) => expected === NEVER).map(([url]) => url);
  let location = '';
  let status = 302;
  let egress: Egress;
  const decisions: EgressDecision[] = [];

  beforeAll(() => {
    egress = createEgress({
      policy: 'internal',
      allow: [],
      ownAddresses: OWN,
      isTrustedOrigin: () => false,
      log: { warn: () => undefined },
      lookup: (host) => (host === 'start.test' ? Promise.resolve([{ address: '127.0.0.1', family: 4 }]) : lookup(host)),
      onDecision: (decision) => void decisions.push(decision),
    });
  });
  afterAll(() => egress.close());

  test.each(reachable)('to %s is refused, by each status', async (target) => {
    const server = await serve((_request, response) => {
      // As bytes: a header holds no other characters, and a server may send any.
      response.writeHead(status, { location: Buffer.from(location).toString('latin1') }).end();
    });
    location = encodeURI(decodeURI(target)) === target || target.includes('%') ? target : new URL(target).href;
    for (status of [301, 302, 303, 307, 308]) {
      decisions.length = 0;
      const url = `http://start.test:${server.port}/`;
      expect((await faultOf(egress.fetch(url, init({ trusted: true })))).fault).toBe('denied');
      expect(decisions.map(({ decision, redirected }) => [decision, redirected])).toEqual([
        ['allowed', false],
        ['refused', true],
      ]);
    }
  });

  test.each<[string, string, EgressFault | 'answered']>([
    ['relative', '../next?x=1', 'answered'],
    ['a query only', '?next', 'answered'],
    ['protocol-relative, to what is inside', '//10.1.2.3/', 'denied'],
    ['backslashes, to what is inside', '/\\\\10.1.2.3/', 'denied'],
    ['user information of our own host', 'http://user@127.0.0.1/', 'denied'],
    ['no URL', 'http://[', 'bad_answer'],
    ['a scheme of its own', 'gopher://127.0.0.1/', 'denied'],
  ])('with a Location that is %s', async (_what, to, outcome) => {
    let first = true;
    const server = await serve((_request, response) => {
      if (first) response.writeHead(302, { location: to }).end();
      else response.end('there');
      first = false;
    });
    const isTrustedOrigin = (url: URL): boolean => url.port === String(server.port);
    const work = egressOf({ policy: 'registered', isTrustedOrigin }).fetch(`${server.url}/a/b`, init());
    if (outcome === 'answered') expect(await (await work).text()).toBe('there');
    else expect((await faultOf(work)).fault).toBe(outcome);
  });

  test('with a line break in its Location leads nowhere else and adds no header', async () => {
    const seen: string[] = [];
    const raw = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        seen.push(data.toString());
        socket.end(
          seen.length === 1
            ? 'HTTP/1.1 302 Found\r\nLocation: /next\r\n\tX-Injected: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
            : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok',
        );
      });
    });
    raw.listen(0, '127.0.0.1');
    await once(raw, 'listening');
    const { port } = raw.address() as AddressInfo; // It listens on a port.
    try {
      await egressOf()
        .fetch(`http://127.0.0.1:${port}/`, init())
        .catch((error: unknown) => expect(error).toBeInstanceOf(EgressError));
      for (const request of seen) expect(request).not.toMatch(/^x-injected/im);
    } finally {
      raw.close();
    }
  });

  test('to itself for ever is given up', async () => {
    const server = await serve((request, response) => {
      response.writeHead(302, { location: request.path === '/a' ? '/b' : '/a' }).end();
    });
    expect((await faultOf(egressOf().fetch(`${server.url}/a`, init()))).fault).toBe('too_many_redirects');
    expect(server.received).toHaveLength(6);
  });

  test.each([
    ['another port of the host', (port: number) => `http://127.0.0.1:${port}/`],
    ['another name of the host', (port: number) => `http://localhost:${port}/`],
  ])('to %s takes no credentials and no body along', async (_what, to) => {
    const other = await hello();
    const first = await serve((_request, response) => {
      response.writeHead(status, { location: to(other.port) }).end();
    });
    const sent = { Authorization: 'Bearer t', Cookie: 'a=1', 'X-API-Key': 'k', 'Proxy-Authorization': 'p', 'X-S': 's' };
    const local = { lookup: answers('127.0.0.1') };
    status = 302;
    await egressOf(local).fetch(first.url, init({ headers: sent }));
    const names = Object.keys(other.received[0]?.headers ?? {});
    expect(names).toEqual(expect.arrayContaining(['host', 'accept-encoding']));
    for (const name of Object.keys(sent)) expect(names).not.toContain(name.toLowerCase());
    status = 307;
    const work = egressOf(local).fetch(first.url, init({ method: 'POST', body: 'secret', headers: sent }));
    expect((await faultOf(work)).refusal).toBe('redirected_body');
    expect(other.received).toHaveLength(1);
  });
});

describe('a name whose answer changes', () => {
  const { egressOf, hello, closeLater } = egressFixtures();

  test('between the check and the connection: the connection goes to what was checked', async () => {
    const checked = await hello();
    const elsewhere = createServer((_request, response) => response.end('elsewhere'));
    elsewhere.listen(checked.port, '127.0.0.2');
    await once(elsewhere, 'listening');
    closeLater(async () => {
      elsewhere.closeAllConnections();
      elsewhere.close();
      await once(elsewhere, 'close');
    });
    let asked = 0;
    const rebinding: Lookup = () => {
      asked += 1;
      return Promise.resolve([{ address: asked === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }]);
    };
    const answer = await egressOf({ lookup: rebinding }).fetch(`http://rebind.test:${checked.port}/`, init());
    expect(await answer.text()).toBe('hello');
    expect(asked).toBe(1);
  });

  test('between two requests: what is inside is refused, and the connection of before is not used for it', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const first = await hello();
      let now = '127.0.0.1';
      const moving: Lookup = () => Promise.resolve([{ address: now, family: 4 }]);
      const isTrustedOrigin = (): boolean => now === '127.0.0.1';
      const egress = egressOf({ policy: 'registered', lookup: moving, isTrustedOrigin });
      const url = `http://rebind.test:${first.port}/`;
      expect((await egress.fetch(url, init())).status).toBe(200);
      now = '127.0.0.7';
      vi.advanceTimersByTime(3_000);
      expect((await faultOf(egress.fetch(url, init()))).fault).toBe('denied');
      expect(first.received).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  test('a proxy that the environment names is not used', async () => {
    const proxy = await hello();
    const target = await hello();
    vi.stubEnv('HTTP_PROXY', proxy.url);
    vi.stubEnv('http_proxy', proxy.url);
    vi.stubEnv('ALL_PROXY', proxy.url);
    try {
      expect((await egressOf().fetch(target.url, init())).status).toBe(200);
      expect(proxy.received).toEqual([]);
      expect(target.received).toHaveLength(1);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('an answer that does harm', () => {
  const { egressOf, serve } = egressFixtures();

  test('with headers that are too large ends', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'x-large': 'x'.repeat(20_000) }).end();
    });
    expect((await faultOf(egressOf().fetch(server.url, init()))).fault).toBe('unreachable');
  });

  test('that comes by drops ends at the deadline', async () => {
    const deadline = new AbortController();
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const drops = setInterval(() => response.write('.'), 5);
      response.once('close', () => clearInterval(drops));
    });
    const work = egressOf().fetch(server.url, { signal: deadline.signal });
    await vi.waitFor(() => expect(server.received).toHaveLength(1));
    deadline.abort(new Error('deadline'));
    await expect(work).rejects.toThrow('deadline');
  });
});
