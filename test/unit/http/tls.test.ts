import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { createIdentify } from '../../../src/http/auth/identify.ts';
import { createHttpServer, type ServerTls } from '../../../src/http/server/server.ts';
import { createWorkerHealth } from '../../../src/http/server/worker-health.ts';
import { type Certificate, makeAuthority, makeCertificate } from '../../support/certificate.ts';
import { appOf, memory } from '../../support/http-app.ts';

let folder: string;
let own: Certificate;
let other: Certificate;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tls-'));
  own = makeCertificate(folder);
  other = makeCertificate(folder, 'other');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const load = (environment: Record<string, string>, listens = true) =>
  loadConfig({ ORCHESTRATOR_ENABLE_TLS: 'true', SECRETS_DIR: '/nowhere', ...environment }, { cwd: folder, listens });
function faults(environment: Record<string, string>): readonly string[] {
  try {
    load(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}
const paths = (cert: string, key: string) => ({ ORCHESTRATOR_TLS_CERT_PATH: cert, ORCHESTRATOR_TLS_KEY_PATH: key });

test('with ENABLE_TLS the certificate and its key are read, below the folder where the service is started', () => {
  const { tls } = load(paths('server.crt', own.keyPath));
  expect(tls).toEqual({ cert: own.cert, key: own.key });
  expect(load({ ORCHESTRATOR_ENABLE_TLS: 'false' }).tls).toBeUndefined();
});

test('what is wrong with the files is named at once, under the names that were used, without what is in them', () => {
  expect(faults({ PORT: 'x' })).toEqual([`PORT must be a whole number from 0 to 65535, not "x".`]);
  expect(faults({})).toEqual([
    'TLS_CERT_PATH is ./certs/server.crt, which cannot be read (ENOENT).',
    'TLS_KEY_PATH is ./certs/server.key, which cannot be read (ENOENT).',
  ]);
  expect(faults(paths(own.keyPath, own.certPath))).toEqual([
    `ORCHESTRATOR_TLS_CERT_PATH is ${own.keyPath}, which is not a certificate in PEM form.`,
    `ORCHESTRATOR_TLS_KEY_PATH is ${own.certPath}, which is not a private key in PEM form without a passphrase.`,
  ]);
  expect(faults(paths(own.certPath, other.keyPath))).toEqual([
    `ORCHESTRATOR_TLS_KEY_PATH is ${other.keyPath}, which is not the key of the certificate.`,
  ]);
  writeFileSync(path.join(folder, 'empty'), '');
  expect(faults(paths('empty', own.keyPath))).toEqual([
    'ORCHESTRATOR_TLS_CERT_PATH is empty, which is not a certificate in PEM form.',
  ]);
});

test('a program that neither listens nor calls others needs neither file', () => {
  expect(load(paths('missing.crt', 'missing.key'), false).tls).toBeUndefined();
});

test('the API answers over HTTPS with that certificate and its headers, and a client that speaks plain HTTP gets nothing', async () => {
  const { deps } = memory({ tls: own });
  const server = createHttpServer(appOf(deps), { cert: own.cert, key: own.key });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  try {
    await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow();
    expect(await get(port, own.cert)).toEqual({
      status: 200,
      authorized: true,
      strictTransport: 'max-age=31536000; includeSubDomains',
      body: { status: 'alive', service: 'orchestrator', timestamp: '2030-01-01T12:00:00.000Z' },
    });
    await expect(get(port, other.cert)).rejects.toThrow(/self-signed certificate|unable to verify/);
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

describe('the port of a worker', () => {
  async function open(clients?: ServerTls['clients']): Promise<number> {
    const worker = createWorkerHealth({
      registry: { metrics: async () => 'metrics 1\n', getMetricsAsJSON: async () => [] },
      identify: createIdentify({ required: false, apiKeys: [] }),
      tls: { cert: own.cert, key: own.key, clients },
      state: () => ({ worker: 'w', lanes: [], draining: false, unresponsive: false, problems: [] }),
    });
    onTestFinished(() => worker.close());
    return worker.listen(0, '127.0.0.1');
  }

  test('speaks TLS with the certificate of the API, and plain HTTP gets nothing', async () => {
    const port = await open();
    await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow();
    expect(await get(port, own.cert, { path: '/health' })).toMatchObject({ status: 200, body: { worker: 'w' } });
    await expect(get(port, other.cert, { path: '/health' })).rejects.toThrow(
      /self-signed certificate|unable to verify/,
    );
  });

  test('takes no client without a certificate where the API takes none', async () => {
    const authority = makeAuthority(folder, 'clients');
    const port = await open({ ca: authority.cert, required: true });
    await expect(get(port, own.cert, { path: '/health' })).rejects.toThrow();
    const pair = authority.issue('prometheus', '/CN=prometheus');
    expect(await get(port, own.cert, { path: '/health', ...pair })).toMatchObject({ status: 200 });
  });
});

function get(port: number, ca: string, more: { path?: string; cert?: string; key?: string } = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/livez', ca, agent: false, ...more };
    const call = request(options, async (answer) => {
      let text = '';
      for await (const chunk of answer) text += String(chunk);
      resolve({
        status: answer.statusCode,
        authorized: (answer.socket as unknown as { authorized: boolean }).authorized, // A TLS socket.
        strictTransport: answer.headers['strict-transport-security'],
        body: JSON.parse(text),
      });
    });
    call.once('error', reject);
    call.end();
  });
}
