/** Logging in with a browser, at a provider that runs beside it: what a session opens, and what starts none. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Express } from 'express';
import { afterEach, expect, test } from 'vitest';
import { loadConfig } from '../../../../src/config/config.ts';
import type { AuditEvent } from '../../../../src/engine/ports/audit.ts';
import { loginOf } from '../../../../src/features/access/assemble-login.ts';
import type { LoginSession, LoginSessions } from '../../../../src/features/access/login-session-ports.ts';
import { createSealer } from '../../../../src/http/auth/sealed.ts';
import { createSessions, type SessionRules } from '../../../../src/http/auth/sessions.ts';
import { createHttpServer } from '../../../../src/http/server/server.ts';
import { type Ask, type Browser, createBrowser } from '../../../support/browser.ts';
import { appOf, type Door, memory } from '../../../support/http-app.ts';
import { CLIENT, type Provider, startProvider } from '../../../support/oidc-provider.ts';
import { encode, makeKeys, signedToken } from '../../../support/tokens.ts';

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const SECRET = 'a secret for sessions of more than 32 characters';
const BOARD = '/admin/queues';
const JSON_BODY = { 'content-type': 'application/json' };

interface Site {
  url: string;
  door: Door;
  provider: Provider;
  browser: Browser;
  audited: AuditEvent[];
  at(path: string): string;
}

/** As the configuration makes it, over use cases that do nothing. */
async function open(settings: Record<string, string> = {}, given?: Provider): Promise<Site> {
  const provider = given ?? (await startProvider());
  if (given === undefined) closing.push(() => provider.close());
  let app: Express | undefined;
  const server = createHttpServer((request, response) => app?.(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // It listens on a port.
  const config = loadConfig(
    {
      ...{ SECRETS_DIR: '/nowhere', OIDC_ISSUER: provider.issuer, OIDC_CLIENT_ID: CLIENT.id },
      ...{ OIDC_CLIENT_SECRET: CLIENT.secret, SESSION_SECRET: SECRET, PUBLIC_URL: url, API_KEY: 'key-1', ...settings },
    },
    { cwd: '/nowhere' },
  );
  const audited: AuditEvent[] = [];
  const keep = (event: AuditEvent) => void audited.push(event);
  const log = { debug: () => undefined, info: keepLine, warn: keepLine, error: keepLine };
  function keepLine(event: string, fields?: object): void {
    door.logged.push({ event, fields });
  }
  const kept = keptInMemory();
  const browsers = loginOf(config, log, kept.directory);
  if (browsers === undefined) throw new Error('nothing to log in at');
  const { door, deps } = memory({
    ...{ required: true, apiKeys: config.apiKeys, sessions: browsers.login.sessions },
    ...{ publicUrl: config.publicUrl, corsOrigins: config.corsOrigins },
  });
  door.url = url;
  const audit = { write: async (event: AuditEvent) => keep(event), note: keep, denied: keep };
  app = appOf({ ...deps, log, audit, login: browsers.login, loginSessions: kept.sessions });
  closing.push(async () => {
    await browsers.close();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return { url, door, provider, browser: createBrowser(), audited, at: (path) => `${url}${path}` };
}

/** As the database stores sessions. */
function keptInMemory(): {
  directory: NonNullable<SessionRules['directory']>;
  sessions: LoginSessions;
} {
  const rows = new Map<string, LoginSession & { tenantId: string; ended: boolean }>();
  const open = (tenantId: string, userId: string | undefined) =>
    [...rows.values()].filter(
      (row) => !row.ended && row.tenantId === tenantId && (userId === undefined || row.userId === userId),
    );
  return {
    directory: {
      async start({ id, tenantId, userId, seconds }) {
        const createdAt = new Date();
        const expiresAt = new Date(createdAt.getTime() + seconds * 1_000);
        rows.set(id, { id, tenantId, userId, createdAt, expiresAt, ended: false });
      },
      isEnded: async (id) => rows.get(id)?.ended === true,
    },
    sessions: {
      list: async (tenantId, userId) => {
        const items = open(tenantId, userId);
        return { items, total: items.length };
      },
      async end(tenantId, userId, id) {
        const found = open(tenantId, userId).find((row) => row.id === id);
        if (found !== undefined) found.ended = true;
        return found !== undefined;
      },
    },
  };
}

/** Everything but the last step: the address that the provider sends the browser back to. */
async function comeBack({ browser, at }: Site, path = '/auth/login'): Promise<string> {
  const begun = await browser.ask(at(path));
  const sent = await fetch(begun.headers.get('location') ?? '', { redirect: 'manual' });
  return sent.headers.get('location') ?? '';
}

const sessionIn = (browser: Browser) => browser.cookies.get('orchestrator_session');
const whys = ({ door }: Site) =>
  door.logged.flatMap(({ fields }) => (fields !== undefined && 'why' in fields ? [fields.why] : []));

test('a browser is sent to log in, comes back to the page that it requested, and is itself until it logs out', async () => {
  const site = await open();
  const { browser, at, provider, audited } = site;
  const { answer, way } = await browser.visit(at(`${BOARD}?page=2`));
  expect(answer.status).toBe(200);
  expect(await answer.text()).toBe('the board');
  expect(way.map((url) => new URL(url).pathname)).toEqual([
    ...[BOARD, '/auth/login', '/authorize', '/auth/callback'],
    BOARD,
  ]);
  expect(way.at(-1)).toBe(at(`${BOARD}?page=2`));
  expect(provider.paths()).toEqual(['/.well-known/openid-configuration', '/authorize', '/token', '/keys']);
  expect((await browser.ask(at('/docs'))).status).toBe(200);
  expect(await (await browser.ask(at('/auth/me'), { headers: { accept: '*/*' } })).json()).toMatchObject({
    ...{ user_id: 'anna', tenant_id: 'default', means: 'session', roles: ['operator'], scopes: null },
    session_expires_at: expect.stringMatching(/Z$/),
  });

  const own = { origin: site.url };
  const change = (headers: Record<string, string>) =>
    browser.ask(at(`${BOARD}/api/queues/x/pause`), { method: 'PUT', headers });
  expect((await change(own)).status).toBe(200);
  expect((await change({ 'sec-fetch-site': 'same-origin' })).status).toBe(200);
  const foreign = [{ origin: 'https://evil.example' }, { origin: 'null' }, {}, { 'sec-fetch-site': 'same-site' }];
  for (const headers of foreign) expect((await change(headers)).status).toBe(401);
  expect((await change({ ...own, 'sec-fetch-site': 'cross-site' })).status).toBe(401);

  const out = await browser.ask(at('/auth/logout'), { method: 'POST', headers: { origin: 'https://evil.example' } });
  expect(out.status).toBe(403);
  expect((await browser.ask(at('/docs'))).status).toBe(200);
  expect(await (await browser.ask(at('/auth/logout'))).text()).toContain('You are anna of default.');
  const copied = sessionIn(browser) ?? '';
  const left = await browser.ask(at('/auth/logout'), { method: 'POST', headers: own });
  expect(left.status).toBe(200);
  const end = new URL(/0;url=([^"]+)"/.exec(await left.text())?.[1]?.replaceAll('&#38;', '&') ?? '');
  expect(`${end.origin}${end.pathname}`).toBe(`${provider.issuer}/end`);
  expect(Object.fromEntries(end.searchParams)).toEqual({
    client_id: CLIENT.id,
    post_logout_redirect_uri: at('/auth/logout'),
  });
  expect(browser.cookies.size).toBe(0);
  const thief = { accept: '*/*', cookie: `orchestrator_session=${copied}` };
  expect((await createBrowser().ask(at('/tasks'), { headers: thief })).status).toBe(401);
  expect(whys(site)).toContain('session_ended');
  const again = await browser.ask(at('/docs'));
  expect(again.status).toBe(302);
  expect(again.headers.get('location')).toBe(at('/auth/login?return_to=%2Fdocs'));
  expect(await (await browser.ask(at('/auth/logout'))).text()).toContain('Not logged in');

  const told = audited.filter(({ action }) => action === 'finishLogin' || action === 'logout');
  expect(told.map(({ action, actor, means, decision }) => [action, actor, means, decision])).toEqual([
    ['finishLogin', 'anna', 'session', 'allowed'],
    ['logout', 'anna', 'session', 'allowed'],
  ]);
  expect(JSON.stringify(told)).not.toMatch(/code|verifier/);
});

test('sessions are listed and ended one by one: one’s own, or those of the tenant by who may revoke keys', async () => {
  const site = await open();
  const { at, provider, url, audited } = site;
  const loggedIn = async () => {
    const browser = createBrowser();
    await browser.visit(at('/docs'));
    return browser;
  };
  const [here, there] = [await loggedIn(), await loggedIn()];
  provider.user = { sub: 'bert', tenant_id: 'default', roles: ['operator'] };
  const bert = await loggedIn();
  provider.user = { sub: 'zoe', tenant_id: 'acme', roles: ['admin'] };
  const stranger = await loggedIn();

  interface Shown {
    session_id: string;
    user_id: string;
    current: boolean;
  }
  const ask = (browser: Browser, path: string, method = 'GET') =>
    browser.ask(at(path), { method, headers: { accept: 'application/json', origin: url } });
  const listed = async (browser: Browser, query = '') =>
    ((await (await ask(browser, `/auth/sessions${query}`)).json()) as { items: Shown[] }).items; // As documented.
  const own = await listed(here);
  expect(own.map(({ user_id: user, current }) => [user, current]).sort()).toEqual([
    ['anna', false],
    ['anna', true],
  ]);
  expect(await listed(stranger, '?of=tenant')).toHaveLength(1);
  const other = own.find(({ current }) => !current)?.session_id ?? '';
  // Of others: neither to be seen nor to be ended, not even that it is there.
  expect((await ask(bert, '/auth/sessions?of=tenant')).status).toBe(403);
  for (const browser of [bert, stranger]) {
    expect((await ask(browser, `/auth/sessions/${other}`, 'DELETE')).status).toBe(404);
  }
  expect((await ask(there, '/auth/me')).status).toBe(200);

  expect((await ask(here, `/auth/sessions/${other}`, 'DELETE')).status).toBe(204);
  expect((await ask(there, '/auth/me')).status).toBe(401);
  expect((await ask(here, '/auth/me')).status).toBe(200);
  expect((await ask(here, `/auth/sessions/${other}`, 'DELETE')).status).toBe(404);
  expect(await listed(here)).toHaveLength(1);

  // A key of an administrator sees everybody of its tenant, and ends any.
  const key = { accept: 'application/json', 'x-api-key': 'key-1' };
  const all = (await (await fetch(at('/auth/sessions?of=tenant'), { headers: key })).json()) as { items: Shown[] };
  expect(all.items.map(({ user_id: user }) => user).sort()).toEqual(['anna', 'bert']);
  const ofBert = all.items.find(({ user_id: user }) => user === 'bert')?.session_id ?? '';
  expect((await fetch(at(`/auth/sessions/${ofBert}`), { method: 'DELETE', headers: key })).status).toBe(204);
  expect((await ask(bert, '/auth/me')).status).toBe(401);
  const ended = audited.filter(({ action }) => action === 'endLoginSession');
  expect(ended.map(({ actor, resource_id: id, status }) => [actor, id, status])).toEqual([
    ['bert', other, 404],
    ['zoe', other, 404],
    ['anna', other, 204],
    ['anna', other, 404],
    [expect.stringMatching(/^api-key-/), ofBert, 204],
  ]);
});

test('cookies are for our own host, for no script, and for no longer than said', async () => {
  const plain = await open({ SESSION_HOURS: '2' });
  await plain.browser.visit(plain.at('/docs'));
  expect(plain.browser.told.map((line) => line.replace(/^(\w+)=[^;]+/, '$1=…'))).toEqual([
    'orchestrator_login=…; Max-Age=600; Path=/; HttpOnly; SameSite=Lax',
    'orchestrator_login=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax',
    'orchestrator_session=…; Max-Age=7200; Path=/; HttpOnly; SameSite=Lax',
  ]);
  const secure = await open({ PUBLIC_URL: 'https://orch.example/at/' });
  const begun = await secure.browser.ask(secure.at('/auth/login'));
  expect(begun.headers.getSetCookie()).toEqual([
    expect.stringMatching(/^__Host-orchestrator_login=[^;]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax; Secure$/),
  ]);
  const asked = new URL(begun.headers.get('location') ?? '').searchParams;
  // From the configuration, whatever host was asked.
  expect(asked.get('redirect_uri')).toBe('https://orch.example/at/auth/callback');
  const page = await secure.browser.ask(secure.at('/docs'), { headers: { 'x-forwarded-host': 'evil.example' } });
  expect(page.headers.get('location')).toBe('https://orch.example/at/auth/login?return_to=%2Fdocs');
});

test('programs get 401 as ever, scripts of pages too, and only navigating to a page leads to the login', async () => {
  const { browser, at } = await open();
  for (const [path, init] of [
    ['/tasks', { headers: { accept: 'application/json' } }],
    ['/docs', { headers: { accept: '*/*' } }],
    ['/docs', { headers: { accept: 'text/html', 'sec-fetch-mode': 'cors' } }],
    ['/docs', { headers: { authorization: 'Bearer wrong' } }],
    [`${BOARD}/api/queues`, { headers: { accept: 'application/json, text/plain, */*' } }],
    [BOARD, { method: 'POST' }],
  ] as Array<[string, Ask]>) {
    const answer = await browser.ask(at(path), init);
    expect(answer.status, path).toBe(401);
    expect(await answer.json()).toMatchObject({ code: 'unauthorized' });
  }
  expect((await browser.ask(at('/tasks'))).status).toBe(302);
  expect((await browser.ask(at('/health'))).status).toBe(200);
});

test('a session calls the API from our own pages, as JSON, and never beside another credential', async () => {
  const site = await open();
  const { browser, at, provider, door } = site;
  provider.user = { sub: 'bert', tenant_id: 'acme', roles: ['editor', 'of another program'] };
  await browser.visit(at('/docs'));
  const post = (headers: Record<string, string>, body: string | null = JSON.stringify({ task_type: 'test_task' })) =>
    browser.ask(at('/assign-task'), { method: 'POST', headers, body });
  const own = { origin: site.url, ...JSON_BODY };
  expect((await post(own)).status).toBe(202);
  expect((await post({ ...own, 'content-type': 'application/json; charset=utf-8' })).status).toBe(202);
  expect(door.asked.tasks.map(({ caller }) => `${caller.userId}@${caller.tenantId}`)).toEqual([
    'bert@acme',
    'bert@acme',
  ]);
  expect((await post({ origin: site.url, 'content-type': 'text/plain' })).status).toBe(401);
  expect((await post({ origin: 'https://evil.example', ...JSON_BODY })).status).toBe(403);
  expect((await post(JSON_BODY)).status).toBe(401);
  expect((await post({ ...own, 'x-api-key': 'key-1' })).status).toBe(401);
  expect(whys(site).at(-1)).toBe('two_credentials');
  expect(door.asked.tasks).toHaveLength(2);
  // What another tenant's editor may not see.
  expect((await browser.ask(at(BOARD))).status).toBe(403);
  expect((await browser.ask(at('/tasks'), { headers: { origin: 'https://evil.example', accept: '*/*' } })).status).toBe(
    401,
  );
});

test('what the token does not say is the default of tokens; who has no tenant gets no session', async () => {
  const { browser, at, provider } = await open({ OIDC_ROLES_CLAIM: 'realm.roles', JWT_DEFAULT_ROLES: 'viewer' });
  provider.user = { sub: 'carl', tenant_id: 'default', roles: ['admin'], realm: {} };
  await browser.visit(at('/docs'));
  expect(await (await browser.ask(at('/auth/me'))).json()).toMatchObject({ user_id: 'carl', roles: ['viewer'] });
  provider.user = { sub: 'carl', realm: { roles: ['admin'] } };
  const other = createBrowser();
  const { answer } = await other.visit(at('/docs'));
  expect(answer.status).toBe(403);
  expect(await answer.text()).toContain('no_tenant');
  expect(other.cookies.size).toBe(0);
});

test('a cookie that was changed, is over, or is of another secret, provider or purpose is none', async () => {
  const site = await open();
  const { browser, at, provider, url } = site;
  const claims = { userId: 'anna', tenantId: 'default', roles: ['admin'] as const, scopes: undefined };
  const rules = { secrets: [SECRET], hours: 1, issuer: provider.issuer, clientId: CLIENT.id, publicUrl: url };
  const cookieIn = (line: string) => /=([^;]*)/.exec(line)?.[1] ?? '';
  const made = async (more: Partial<Parameters<typeof createSessions>[0]> = {}) =>
    cookieIn(await createSessions({ ...rules, now: () => new Date(), ...more }).start(claims));
  const sealed = (purpose: string) =>
    createSealer({ secrets: [SECRET], purpose, now: () => new Date() }).seal(
      { iss: provider.issuer, client: CLIENT.id, sub: 'anna', tenant: 'default', roles: ['admin'], scopes: null },
      60,
    );
  const good = await made();
  const parts = good.split('.');
  const changed = (at: number) =>
    parts
      .map((part, index) => (index === at ? `${part.slice(0, -2)}${part.endsWith('AA') ? 'BB' : 'AA'}` : part))
      .join('.');
  const ask = (value: string, accept = '*/*') =>
    createBrowser().ask(at('/tasks'), { headers: { accept, cookie: `orchestrator_session=${value}` } });
  expect((await ask(good)).status).toBe(200);
  expect((await ask(await sealed('session'))).status).toBe(200);
  const bad: Array<[string, string]> = [
    ['ciphertext', changed(3)],
    ['tag', changed(4)],
    ['iv', changed(2)],
    ['without encryption', `${encode({ alg: 'none' })}.${encode({ sub: 'anna' })}.`],
    ['over', await made({ now: () => new Date(Date.now() - 3_601_000) })],
    ['another secret', await made({ secrets: ['x'.repeat(32)] })],
    ['another provider', await made({ issuer: 'https://other.example' })],
    ['another client', await made({ clientId: 'other' })],
    ['a login in its place', await sealed('login')],
    ['nonsense', 'x'],
    ['too long', 'x'.repeat(8_000)],
    ['nothing', ''],
    ['a second one beside it', `${good}; orchestrator_session=x`],
  ];
  for (const [what, value] of bad) {
    const answer = await ask(value);
    expect(answer.status, what).toBe(401);
    expect(await answer.json()).toMatchObject({ detail: 'The credentials are not valid' });
    expect((await ask(value, 'text/html')).status, what).toBe(302);
    const open = await browser.ask(at('/health'), { headers: { cookie: `orchestrator_session=${value}` } });
    expect(open.status, what).toBe(200);
  }
});

test('a secret is replaced by another: sessions of the old one go on while it is listed', async () => {
  const site = await open();
  await site.browser.visit(site.at('/docs'));
  const cookie = `orchestrator_session=${sessionIn(site.browser)}`;
  const ask = (other: Site) => createBrowser().ask(other.at('/docs'), { headers: { cookie } });
  const next = 'another secret for sessions of more than 32';
  const both = await open({ SESSION_SECRET: JSON.stringify([next, SECRET]), PUBLIC_URL: site.url }, site.provider);
  expect((await ask(both)).status).toBe(200);
  const after = await open({ SESSION_SECRET: JSON.stringify([next]), PUBLIC_URL: site.url }, site.provider);
  expect((await ask(after)).status).toBe(302);
});

test('an answer that this browser has not requested, or has had, starts nothing and calls the provider for nothing', async () => {
  const site = await open();
  const { browser, provider } = site;
  const own = await comeBack(site);
  const tokens = () => provider.paths().filter((path) => path === '/token').length;
  // Of another browser: somebody would have us log in as them.
  const stranger = createBrowser();
  const strange = await stranger.ask(own);
  expect(strange.status).toBe(400);
  expect(stranger.cookies.size).toBe(0);
  const wrong = new URL(own);
  wrong.searchParams.set('state', 'x');
  expect((await browser.ask(wrong.href)).status).toBe(400);
  expect(tokens()).toBe(0);
  // The login itself is still open: what came in between was none of its answers.
  const kept = [...browser.cookies];
  expect((await browser.ask(own)).status).toBe(302);
  expect(sessionIn(browser)).toBeDefined();
  expect(tokens()).toBe(1);
  browser.cookies.delete('orchestrator_session');
  expect((await browser.ask(own)).status).toBe(400);
  expect(tokens()).toBe(1);
  // Even with its cookie once more the code is spent.
  for (const [name, value] of kept) browser.cookies.set(name, value);
  const replayed = await browser.ask(own);
  expect(replayed.status).toBe(400);
  expect(await replayed.text()).toContain('does not hold');
  expect(whys(site).at(-1)).toContain('invalid_grant');
  expect(sessionIn(browser)).toBeUndefined();
});

test('a token that is wrong in any way starts no session', async () => {
  const site = await open();
  const { provider, at } = site;
  const other = makeKeys.rsa();
  const now = Math.floor(Date.now() / 1_000);
  const lies: Array<[string, Provider['lie']]> = [
    ['nonce of another login', { claims: { nonce: 'x' } }],
    ['no nonce', { claims: { nonce: undefined } }],
    ['for another client', { claims: { aud: 'other' } }],
    ['of another issuer', { claims: { iss: 'https://other.example' } }],
    ['over', { claims: { exp: now - 3_600 } }],
    ['without an end', { claims: { exp: undefined } }],
    ['without a subject', { claims: { sub: undefined } }],
    ['of another key', { token: (truth) => signedToken(truth, { alg: 'RS256', kid: 'key-1' }, other.privateKey) }],
    ['of an unknown key', { token: (truth) => signedToken(truth, { alg: 'RS256', kid: 'x' }, other.privateKey) }],
    ['unsigned', { token: (truth) => `${encode({ alg: 'none' })}.${encode(truth)}.` }],
    ['mixed up with another issuer', { callback: { iss: 'https://evil.example' } }],
  ];
  for (const [what, lie] of lies) {
    provider.lie = lie;
    const browser = createBrowser();
    const { answer } = await browser.visit(at('/docs'));
    expect(answer.status, what).toBe(400);
    expect(await answer.text(), what).toContain('does not hold');
    expect(sessionIn(browser), what).toBeUndefined();
  }
  // Who mixes up providers does not even get the code.
  const tokens = provider.paths().filter((path) => path === '/token').length;
  expect(tokens).toBe(lies.length - 1);
  provider.lie = {};
  provider.rotate();
  expect((await site.browser.visit(at('/docs'))).answer.status).toBe(200);
});

test('what a provider says of a failed login is text in the page, and shown only to who started that login', async () => {
  const site = await open();
  const html = '<script>alert(1)</script>&"';
  const back = new URL(await comeBack(site));
  back.searchParams.delete('code');
  back.searchParams.set('error', 'access_denied');
  back.searchParams.set('error_description', html);
  const stranger = await createBrowser().ask(back.href);
  expect(await stranger.text()).not.toContain('access_denied');
  const { browser } = site;
  const answer = await browser.ask(back.href);
  expect(answer.status).toBe(400);
  const page = await answer.text();
  expect(page).toContain('access_denied: &#60;script&#62;alert(1)');
  expect(page).not.toContain('<script');
  expect(answer.headers.get('content-security-policy')).toContain("script-src 'self'");
  const problem = await createBrowser().ask(back.href, { headers: { accept: 'application/json' } });
  expect(await problem.json()).toMatchObject({ code: 'login_failed', status: 400 });
});

test('while the provider is away nobody logs in, and keys and sessions stay valid', async () => {
  const site = await open();
  const { at, provider } = site;
  await site.browser.visit(at('/docs'));
  const fresh = await open({}, provider);
  provider.lie = { status: 502 };
  for (const path of ['/docs', '/auth/login']) {
    const { answer } = await createBrowser().visit(fresh.at(path));
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(await answer.text()).toContain('The identity provider cannot be reached');
  }
  // However many try to log in, it is called once within a while.
  expect(provider.paths().filter((path) => path.startsWith('/.well-known'))).toHaveLength(2);
  expect((await createBrowser().ask(fresh.at('/tasks'), { headers: { 'x-api-key': 'key-1' } })).status).toBe(200);
  expect((await site.browser.ask(at('/docs'))).status).toBe(200);
  // It is cached already, and goes away between the two steps.
  provider.lie = {};
  const back = await comeBack(site);
  provider.lie = { status: 503 };
  expect((await site.browser.ask(back)).status).toBe(503);
});

test('a provider that says it is another one is none', async () => {
  const provider = await startProvider();
  closing.push(() => provider.close());
  provider.lie = { discovery: { issuer: 'https://evil.example' } };
  const site = await open({}, provider);
  expect((await site.browser.ask(site.at('/auth/login'))).status).toBe(503);
  expect(JSON.stringify(site.door.logged)).toContain('issuer');
});

test('a public client shows PKCE and no secret', async () => {
  const provider = await startProvider();
  closing.push(() => provider.close());
  provider.publicClient = true;
  const site = await open({ OIDC_CLIENT_SECRET: '' }, provider);
  expect((await site.browser.visit(site.at('/docs'))).answer.status).toBe(200);
  const wrong = await open({ OIDC_CLIENT_SECRET: 'wrong' }, provider);
  expect((await wrong.browser.visit(wrong.at('/docs'))).answer.status).toBe(400);
});

test('a login leads to our own pages only', async () => {
  const site = await open();
  for (const to of ['//evil.example', '/\\evil.example', 'https://evil.example', '/%2fevil.example', '/auth/login']) {
    const { way } = await createBrowser().visit(site.at(`/auth/login?return_to=${encodeURIComponent(to)}`));
    expect(way.at(-1), to).toBe(site.at('/docs'));
  }
  const { way } = await createBrowser().visit(site.at('/auth/login?return_to=%2Fredoc'));
  expect(way.at(-1)).toBe(site.at('/redoc'));
});

test('where no provider is configured there is nothing to log in at', async () => {
  const { deps, door } = memory({ apiKeys: ['key-1'] });
  const server = createHttpServer(appOf(deps));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  door.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // It listens on a port.
  for (const path of ['/auth/login', '/auth/callback', '/auth/logout']) {
    expect((await door.fetch(path, { headers: { accept: 'text/html' } })).status).toBe(404);
  }
  expect((await door.fetch('/docs', { headers: { accept: 'text/html' } })).status).toBe(401);
  const me = await door.fetch('/auth/me', { headers: { 'x-api-key': 'key-1' } });
  expect(await me.json()).toMatchObject({ means: 'api_key', roles: ['admin'], session_expires_at: null });
});
