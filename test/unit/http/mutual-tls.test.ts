/** Certificates of clients: a real TLS server, an authority of its own, and what is made of the names in a certificate. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { type CertificateHolder, namesIn } from '../../../src/http/auth/certificates.ts';
import { createHttpServer } from '../../../src/http/server/server.ts';
import { type Authority, type Certificate, makeAuthority, makeCertificate } from '../../support/certificate.ts';
import { appOf, memory } from '../../support/http-app.ts';

type Pair = { cert: string; key: string };

let folder: string;
let server: Certificate;
let ours: Authority;
const clients = new Map<string, Pair>();

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'mutual-tls-'));
  server = makeCertificate(folder);
  ours = makeAuthority(folder, 'ours');
  const others = makeAuthority(folder, 'others');
  const gateway = 'URI:spiffe://mesh/gateway,DNS:gateway.example';
  clients.set('gateway', ours.issue('gateway', '/CN=anything', gateway));
  clients.set('worker', ours.issue('worker', '/O=acme/CN=worker'));
  clients.set('unknown', ours.issue('unknown', '/CN=unknown'));
  clients.set('two names', ours.issue('two', '/CN=worker/CN=gateway'));
  clients.set('hidden', ours.issue('hidden', '/CN=x', 'email:copy@x.example,DNS:x.example'));
  clients.set('expired', ours.issue('expired', '/CN=worker', undefined, -1));
  clients.set('of others', others.issue('foreign', '/CN=worker', gateway));
  clients.set('self-signed', makeCertificate(folder, 'self'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const HOLDERS = new Map<string, CertificateHolder>([
  ['URI:spiffe://mesh/gateway', { user: 'gateway', tenant: 'default', roles: ['editor'] }],
  ['CN:worker', { user: 'worker-1', tenant: 'acme', roles: ['worker'] }],
]);

async function open(required: boolean) {
  const { door, deps } = memory({
    required: true,
    apiKeys: ['key-1'],
    certificates: HOLDERS,
    trustedCallers: ['certificate:gateway'],
  });
  const tls = { cert: server.cert, key: server.key, clients: { ca: ours.cert, required } };
  const listening = createHttpServer(appOf(deps), tls);
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  closing.push(async () => {
    listening.closeAllConnections();
    listening.close();
    await once(listening, 'close');
  });
  const { port } = listening.address() as AddressInfo; // It listens on a port.
  const ask = (name: string | undefined, headers: Record<string, string> = {}): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const pair = name === undefined ? {} : clients.get(name);
      const options = { host: '127.0.0.1', port, path: '/assign-task', method: 'POST', ca: server.cert, agent: false };
      const call = request(
        { ...options, ...pair, headers: { 'content-type': 'application/json', ...headers } },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        },
      );
      call.once('error', reject);
      call.end('{"task_type":"test_task"}');
    });
  return { ask, who: () => door.asked.tasks.map(({ caller }) => `${caller.userId}@${caller.tenantId}`) };
}

test('a certificate says who asks, with the roles that the configuration gives it; a header says it only for a trusted one', async () => {
  const { ask, who } = await open(true);
  const claimed = { 'x-user-id': 'anna', 'x-tenant-id': 'inc' };
  expect(await ask('gateway')).toBe(202);
  expect(await ask('gateway', claimed)).toBe(202);
  // It may work on external tasks and start none.
  expect(await ask('worker', claimed)).toBe(403);
  expect(who()).toEqual(['gateway@default', 'anna@inc']);
});

test.each(['unknown', 'two names', 'hidden'])('one whose names stand for nobody is rejected: %s', async (name) => {
  for (const required of [true, false]) {
    const { ask, who } = await open(required);
    expect(await ask(name)).toBe(401);
    expect(who()).toEqual([]);
  }
});

test.each(['of others', 'self-signed', 'expired'])('one that is not vouched for is rejected: %s', async (name) => {
  const { ask, who } = await open(false);
  expect(await ask(name)).toBe(401);
  await expect((await open(true)).ask(name)).rejects.toThrow();
  expect(who()).toEqual([]);
});

test('without a certificate a key is needed where certificates are optional, and nothing helps where they are required', async () => {
  const optional = await open(false);
  expect(await optional.ask(undefined)).toBe(401);
  expect(await optional.ask(undefined, { 'x-api-key': 'key-1' })).toBe(202);
  const required = await open(true);
  await expect(required.ask(undefined, { 'x-api-key': 'key-1' })).rejects.toThrow();
});

test('the credential in a header decides before the certificate, also when it is wrong', async () => {
  const { ask, who } = await open(true);
  expect(await ask('worker', { 'x-api-key': 'key-1' })).toBe(202);
  expect(await ask('gateway', { 'x-api-key': 'key-2' })).toBe(401);
  expect(who()).toEqual([expect.stringMatching(/^api-key-.*@default$/)]);
});

test.each<[string | undefined, string | undefined, string[]]>([
  ['URI:spiffe://a/b, DNS:c.example', 'C=DE\nCN=d', ['URI:spiffe://a/b', 'DNS:c.example', 'CN:d']],
  ['DNS:c, URI:u', undefined, ['URI:u', 'DNS:c']],
  [undefined, 'CN=d\nO=x', ['CN:d']],
  [undefined, 'CN=d\nCN=e', []],
  [undefined, undefined, []],
  // A name within a name is none.
  ['DNS:"x, URI:spiffe://root"', undefined, ['DNS:x, URI:spiffe://root']],
  ['email:"x, URI:spiffe://root", DNS:c', undefined, ['DNS:c']],
  ['othername:"\\", URI:spiffe://root"', undefined, []],
  ['IP Address:127.0.0.1, DirName:"CN=x, URI:spiffe://root"', undefined, []],
  ['x"y, URI:spiffe://root', 'CN=d', []],
  ['DNS:a"b, URI:spiffe://root', 'CN=d', []],
])('the names in %j and %j', (alternative, subject, names) => {
  expect(namesIn(alternative, subject)).toEqual(names);
});

test('the settings are checked at start, all at once, with the file of the authority', () => {
  const load = (environment: Record<string, string>) =>
    loadConfig({ SECRETS_DIR: '/nowhere', ...environment }, { cwd: folder });
  const faults = (environment: Record<string, string>) => {
    try {
      load(environment);
    } catch (error) {
      if (error instanceof ConfigError) return error.faults;
      throw error;
    }
    return [];
  };
  const tls = { ENABLE_TLS: 'true', TLS_CERT_PATH: 'server.crt', TLS_KEY_PATH: 'server.key' };
  const holders = JSON.stringify({ 'CN:worker': { user: 'w', tenant: 'acme', roles: ['worker'] } });
  const all = { ...tls, TLS_CLIENT_CERTS: 'optional', TLS_CA_PATH: 'ours.crt', TLS_CLIENTS: holders };
  expect(load(all)).toMatchObject({
    host: '0.0.0.0',
    tls: { clients: { ca: ours.cert, required: false } },
    authentication: {
      required: true,
      certificates: new Map([['CN:worker', { user: 'w', tenant: 'acme', roles: ['worker'] }]]),
    },
  });
  // As a gate alone: who comes through it is not known by it.
  const gate = load({ ...tls, TLS_CLIENT_CERTS: 'required', TLS_CA_PATH: 'ours.crt' });
  expect(gate).toMatchObject({
    host: '127.0.0.1',
    tls: { clients: { required: true } },
    authentication: { required: false },
  });
  expect(faults({ TLS_CLIENT_CERTS: 'optional' })).toEqual([
    'TLS_CLIENT_CERTS is optional and ENABLE_TLS is not true: without TLS there are no certificates.',
    'TLS_CLIENT_CERTS is optional and TLS_CA_PATH is not set: nobody vouches for certificates.',
    'TLS_CLIENT_CERTS is optional and TLS_CLIENTS is not set: a certificate would stand for nobody.',
  ]);
  expect(faults({ TLS_CLIENTS: holders })).toEqual([
    'TLS_CLIENTS says whom certificates stand for, and TLS_CLIENT_CERTS is off: nobody is asked for one.',
  ]);
  expect(faults({ ...all, TLS_CA_PATH: 'missing.crt' })).toEqual([
    'TLS_CA_PATH is missing.crt, which cannot be read (ENOENT).',
  ]);
  writeFileSync(path.join(folder, 'nothing.crt'), '');
  expect(faults({ ...all, TLS_CA_PATH: 'nothing.crt' })).toEqual([
    'TLS_CA_PATH is nothing.crt, which is not a certificate in PEM form.',
  ]);
  for (const wrong of ['{}x', '{"worker":{}}', '{"CN:a":{"user":"a","tenant":"b","roles":["root"]}}']) {
    expect(faults({ ...all, TLS_CLIENTS: wrong }), wrong).toHaveLength(1);
  }
});
