/** The health check of the image, as the process that it is, against real servers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { projectRoot } from '../../../src/project-root.ts';
import { type Certificate, makeCertificate } from '../../support/certificate.ts';

const PROGRAM = path.join(projectRoot(), 'scripts/container-health.mjs');

let folder: string;
let own: Certificate;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'health-'));
  own = makeCertificate(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const closing: Server[] = [];
afterEach(async () => {
  for (const server of closing.splice(0)) {
    server.close();
    await once(server, 'close');
  }
});

async function portOf(server: Server): Promise<string> {
  closing.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `${(server.address() as AddressInfo).port}`; // It listens on a port.
}

const answering = (status: number) =>
  portOf(createServer((_request, response) => void response.writeHead(status).end()));

/** A port on which nobody listens. */
async function nobody(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  server.close();
  await once(server, 'close');
  return `${port}`;
}

async function isHealthy(env: Record<string, string>): Promise<boolean> {
  const child = spawn(process.execPath, [PROGRAM], { env, stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}

test('a container is healthy as long as its API or its worker is', async () => {
  const [well, ill, none] = [await answering(200), await answering(503), await nobody()];
  expect(await isHealthy({ PORT: well, WORKER_PORT: none })).toBe(true);
  expect(await isHealthy({ PORT: none, METRICS_PORT: well })).toBe(true);
  expect(await isHealthy({ ORCHESTRATOR_PORT: ill, WORKER_PORT: '', ORCHESTRATOR_METRICS_PORT: well })).toBe(true);
  expect(await isHealthy({ PORT: ill, WORKER_PORT: none })).toBe(false);
});

test('one that speaks TLS is asked so; where every client needs a certificate a handshake has to do', async () => {
  const none = await nobody();
  const plain = await portOf(createTlsServer(own, (_request, response) => void response.end()));
  expect(await isHealthy({ PORT: plain, WORKER_PORT: none })).toBe(true);
  const mutual = { ...own, ca: own.cert, requestCert: true, rejectUnauthorized: true };
  const strict = await portOf(createTlsServer(mutual, (_request, response) => void response.end()));
  expect(await isHealthy({ PORT: strict, WORKER_PORT: none })).toBe(false);
  expect(await isHealthy({ PORT: strict, WORKER_PORT: none, TLS_CLIENT_CERTS: 'required' })).toBe(true);
  expect(await isHealthy({ PORT: none, WORKER_PORT: none, TLS_CLIENT_CERTS: 'required' })).toBe(false);
});
