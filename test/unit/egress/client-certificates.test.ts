/** Certificates that are shown to services: real TLS servers, authorities of their own, and files that change. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { serviceKey } from '../../../src/domain/service-rate.ts';
import { type CertificateFor, createClientCertificates } from '../../../src/egress/client-certificates.ts';
import type { Egress } from '../../../src/egress/egress.ts';
import { type Authority, type Certificate, makeAuthority, makeCertificate } from '../../support/certificate.ts';
import { egressFixtures, faultOf, init } from '../../support/egress.ts';
import { startTlsServer, type TlsServer } from '../../support/tls-server.ts';

const { egressOf, hello, closeLater } = egressFixtures();

let folder: string;
let served: Certificate;
let ours: Authority;
let others: Authority;
const at = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'service-tls-'));
  served = makeCertificate(folder);
  ours = makeAuthority(folder, 'ours');
  others = makeAuthority(folder, 'others');
  ours.issue('one', '/CN=one');
  ours.issue('two', '/CN=two');
  others.issue('foreign', '/CN=foreign');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pair = (name: string) => ({ cert_path: at(`${name}.crt`), key_path: at(`${name}.key`) });
const load = (services: unknown, more: Record<string, string> = {}) =>
  loadConfig({ SECRETS_DIR: '/nowhere', SERVICE_TLS: JSON.stringify(services), ...more }, { cwd: folder });

let time = 0;
const warn = vi.fn();
beforeEach(() => {
  time = 0;
  warn.mockReset();
});

function egressWith(services: unknown): Egress {
  const certificates = createClientCertificates({
    files: load(services).serviceTls,
    keyOf: serviceKey,
    now: () => time,
    log: { warn },
  });
  return egressOf({ certificates });
}

/** It takes clients that ours vouches for, or any. */
async function serve(answer?: Parameters<typeof startTlsServer>[1], takes: 'ours' | 'any' = 'ours') {
  const { cert, key } = served;
  const server = await startTlsServer(takes === 'any' ? { cert, key } : { cert, key, clients: ours.cert }, answer);
  closeLater(() => server.close());
  return server;
}

const call = async (egress: Egress, { url }: Pick<TlsServer, 'url'>, certificateFor: CertificateFor) =>
  JSON.parse(await (await egress.fetch(url, init({ certificateFor }))).text()) as { client: string };
const VAULT = { service: 'vault' };

describe('a service that needs a certificate', () => {
  test('gets the one that is configured for it, under any spelling of its name', async () => {
    const server = await serve();
    const egress = egressWith({ 'Doc-Store': { ca_path: served.certPath, ...pair('one') } });
    expect(await call(egress, server, { service: 'doc_store' })).toEqual({ client: 'one' });
    expect(await call(egress, server, { service: 'Doc-Store' })).toEqual({ client: 'one' });
  });

  test('gets none that is meant for another, and no request without one', async () => {
    const server = await serve();
    const egress = egressWith({
      vault: { ca_path: served.certPath, ...pair('one') },
      bare: { ca_path: served.certPath },
    });
    expect((await faultOf(call(egress, server, { service: 'bare' }))).fault).toBe('unreachable');
    expect((await faultOf(call(egress, server, { service: 'unknown' }))).fault).toBe('unreachable');
    expect((await faultOf(egress.fetch(server.url, init()))).fault).toBe('unreachable');
    expect(server.received).toEqual([]);
    expect(await call(egress, server, VAULT)).toEqual({ client: 'one' });
  });

  test('rejects one that others have issued', async () => {
    const server = await serve();
    const egress = egressWith({ vault: { ca_path: served.certPath, ...pair('foreign') } });
    expect((await faultOf(call(egress, server, VAULT))).fault).toBe('unreachable');
    expect(server.received).toEqual([]);
  });

  test('is sent nothing where the authority that is named does not vouch for it', async () => {
    const server = await serve();
    const egress = egressWith({ vault: { ca_path: at('others.crt'), ...pair('one') } });
    expect((await faultOf(call(egress, server, VAULT))).fault).toBe('unreachable');
    expect(server.received).toEqual([]);
  });

  test('is sent nothing that is not encrypted', async () => {
    const plain = await hello();
    const egress = egressWith({ vault: { ca_path: served.certPath, ...pair('one') } });
    const fault = await faultOf(egress.fetch(plain.url, init({ certificateFor: VAULT })));
    expect(fault).toMatchObject({
      fault: 'bad_request',
      message: `${plain.url} is not https, and SERVICE_TLS names 'vault'`,
    });
    expect(plain.received).toEqual([]);
  });

  test('that has the name of what the service itself calls gets a certificate of its own only', async () => {
    const server = await serve();
    const egress = egressWith({ policy: { ca_path: served.certPath, ...pair('one') } });
    expect(await call(egress, server, { own: 'policy' })).toEqual({ client: 'one' });
    expect((await faultOf(call(egress, server, { service: 'policy' }))).fault).toBe('unreachable');
    expect((await faultOf(call(egress, server, { own: 'identity' }))).fault).toBe('unreachable');
    expect(server.received).toHaveLength(1);
  });
});

describe('a redirect', () => {
  // Any server is believed here, so that one is reached that nobody has vouched for.
  beforeEach(() => vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0'));
  afterEach(() => vi.unstubAllEnvs());

  test('to another origin carries no certificate, and one to the same origin does', async () => {
    const other = await serve(undefined, 'any');
    const locations = new Map([
      ['/away', `${other.url}/there`],
      ['/here', '/stay'],
    ]);
    const first = await serve(({ path: from }) => {
      const location = locations.get(from);
      return location === undefined ? {} : { status: 302, headers: { location } };
    });
    const egress = egressWith({ vault: { ca_path: served.certPath, ...pair('one') } });
    const follow = async (from: string) =>
      JSON.parse(await (await egress.fetch(`${first.url}${from}`, init({ certificateFor: VAULT }))).text()) as unknown;
    expect(await follow('/away')).toEqual({});
    expect(other.received).toMatchObject([{ path: '/there', client: undefined }]);
    expect(await follow('/here')).toEqual({ client: 'one' });
    // It would have taken it.
    expect(await call(egress, other, VAULT)).toEqual({ client: 'one' });
  });
});

describe('files that change', () => {
  const put = (file: string, from: string) => writeFileSync(at(file), from);
  const files = { ca_path: 'live-ca.crt', cert_path: 'live.crt', key_path: 'live.key' };
  let one: { cert: string; key: string };
  let two: { cert: string; key: string };
  beforeEach(() => {
    one = ours.issue('live-one', '/CN=one');
    two = ours.issue('live-two', '/CN=two');
    put('live-ca.crt', served.cert);
    put('live.crt', one.cert);
    put('live.key', one.key);
  });

  test('are read again after a second, without a new process', async () => {
    const server = await serve();
    const egress = egressWith({ vault: files });
    expect(await call(egress, server, VAULT)).toEqual({ client: 'one' });
    put('live.crt', two.cert);
    put('live.key', two.key);
    time = 999;
    expect(await call(egress, server, VAULT)).toEqual({ client: 'one' });
    time = 1_000;
    expect(await call(egress, server, VAULT)).toEqual({ client: 'two' });
    expect(warn).not.toHaveBeenCalled();
  });

  test('are not used by halves: what was read last goes on, and the log says why', async () => {
    const server = await serve();
    const egress = egressWith({ vault: files });
    expect(await call(egress, server, VAULT)).toEqual({ client: 'one' });
    put('live.crt', two.cert);
    time = 1_000;
    expect(await call(egress, server, VAULT)).toEqual({ client: 'one' });
    rmSync(at('live.crt'));
    time = 2_000;
    expect(await call(egress, server, VAULT)).toEqual({ client: 'one' });
    expect(warn.mock.calls).toEqual([
      [
        'service_certificate_unusable',
        { target: 'vault', error: new Error(`${at('live.key')}, which is not the key of the certificate`) },
      ],
      ['service_certificate_unusable', { target: 'vault', error: expect.objectContaining({ code: 'ENOENT' }) }],
    ]);
    put('live.crt', two.cert);
    put('live.key', two.key);
    time = 3_000;
    expect(await call(egress, server, VAULT)).toEqual({ client: 'two' });
  });

  test('change who is trusted too: a server that is vouched for no longer is reached no more', async () => {
    const server = await serve();
    const egress = egressWith({ vault: files });
    await call(egress, server, VAULT);
    put('live-ca.crt', others.cert);
    time = 1_000;
    expect((await faultOf(call(egress, server, VAULT))).fault).toBe('unreachable');
    expect(server.received).toHaveLength(1);
  });

  test('that never could be used let no call go without a certificate', async () => {
    const server = await serve(undefined, 'any');
    const egress = egressWith({ vault: files });
    put('live.key', two.key);
    expect(await faultOf(call(egress, server, VAULT))).toMatchObject({
      fault: 'unreachable',
      message: "the certificate for 'vault' cannot be used",
    });
    expect(server.received).toEqual([]);
  });
});

describe('the setting', () => {
  function faults(services: unknown): readonly string[] {
    try {
      load(services);
    } catch (error) {
      if (error instanceof ConfigError) return error.faults;
      throw error;
    }
    return [];
  }

  test('has paths relative to the folder where the service is started, by the keys of services', () => {
    const { serviceTls } = load({
      'Doc-Store': { cert_path: 'one.crt', key_path: 'one.key' },
      bare: { ca_path: 'ours.crt' },
    });
    expect([...serviceTls]).toEqual([
      ['doc_store', { cert: at('one.crt'), key: at('one.key') }],
      ['bare', { ca: at('ours.crt') }],
    ]);
    expect(loadConfig({}, { cwd: folder }).serviceTls.size).toBe(0);
  });

  test('is checked at start, all at once, and not by a program that calls nobody', () => {
    const services = {
      gone: { ca_path: 'gone.crt' },
      mixed: { cert_path: at('one.crt'), key_path: at('two.key') },
      swapped: { cert_path: at('one.key'), key_path: at('one.crt') },
    };
    expect(faults(services)).toEqual([
      `SERVICE_TLS has ${at('gone.crt')} for 'gone', which cannot be read (ENOENT).`,
      `SERVICE_TLS has ${at('two.key')} for 'mixed', which is not the key of the certificate.`,
      `SERVICE_TLS has ${at('one.key')} for 'swapped', which is not a certificate in PEM form.`,
      `SERVICE_TLS has ${at('one.crt')} for 'swapped', which is not a private key in PEM form without a passphrase.`,
    ]);
    const environment = { SECRETS_DIR: '/nowhere', SERVICE_TLS: JSON.stringify(services) };
    expect(loadConfig(environment, { cwd: folder, listens: false }).serviceTls.size).toBe(3);
  });

  test.each([
    ['{}x'],
    ['[]'],
    ['{"a": {}}'],
    ['{"a": {"cert_path": "a.crt"}}'],
    ['{"a": {"key_path": "a.key", "ca_path": "ca.crt"}}'],
    ['{"a": {"ca": "ca.crt"}}'],
  ])('%s is none', (text) => {
    expect(() => loadConfig({ SERVICE_TLS: text }, { cwd: folder })).toThrow('SERVICE_TLS must be JSON of services');
  });

  test.each<[string, (certificate: string) => string]>([
    ['cut off', (certificate) => certificate.slice(0, 300)],
    ['damaged', (certificate) => certificate.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA')],
    ['of another kind', (certificate) => certificate.replaceAll('CERTIFICATE', 'PUBLIC KEY')],
    ['misspelt', (certificate) => certificate.replaceAll('CERTIFICATE', 'CERTIFICAT')],
  ])('a second authority that is %s is not passed over', (_how, damage) => {
    writeFileSync(at('bundle.crt'), `${ours.cert}${others.cert}`);
    expect(faults({ vault: { ca_path: 'bundle.crt' } })).toEqual([]);
    writeFileSync(at('bundle.crt'), `${ours.cert}${damage(others.cert)}`);
    const fault = `SERVICE_TLS has ${at('bundle.crt')} for 'vault', which is not a certificate in PEM form.`;
    expect(faults({ vault: { ca_path: 'bundle.crt' } })).toEqual([fault]);
  });
});
