/** TLS and logins at brokers of Kafka, against a listener that checks them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { bareEnvironment, loadConfig } from '../../src/config/config.ts';
import { createKafkaTransport } from '../../src/features/flow-runner/transport/kafka/kafka-transport.ts';
import type { Transport } from '../../src/features/flow-runner/transport/ports.ts';
import { type Login, type SecureListener, startSecureListener } from '../harness/kafka/secure-listener.ts';
import { type Kafka, startKafka } from '../harness/kafka/start-kafka.ts';
import { createTestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { type Certificate, makeCertificate } from '../support/certificate.ts';

let kafka: Kafka;
let folder: string;
let own: Certificate;
let ofClient: Certificate;
let listener: SecureListener | undefined;
const transports: Transport[] = [];

beforeAll(async () => {
  kafka = await startKafka({ topics: ['secure'] });
  folder = mkdtempSync(path.join(tmpdir(), 'kafka-tls-'));
  own = makeCertificate(folder, 'broker');
  ofClient = makeCertificate(folder, 'client');
});
afterEach(async () => {
  await Promise.all(transports.splice(0).map((transport) => transport.close()));
  await listener?.close();
  listener = undefined;
});
afterAll(async () => {
  await kafka?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function listen(options: { tls?: { clients?: string }; login?: Login }): Promise<SecureListener> {
  const [host = '', port = ''] = kafka.servers[0]?.split(':') ?? [];
  listener = await startSecureListener({
    broker: { host, port: Number(port) },
    ...(options.tls === undefined ? {} : { tls: { cert: own.cert, key: own.key, ...options.tls } }),
    ...(options.login === undefined ? {} : { login: options.login }),
  });
  return listener;
}

function open(at: SecureListener, settings: Record<string, string>): Transport {
  const { kafka: parsed } = loadConfig({
    ...bareEnvironment(),
    ...{ KAFKA_BOOTSTRAP_SERVERS: at.address, KAFKA_AUTO_OFFSET_RESET: 'earliest', ...settings },
  });
  const transport = createKafkaTransport(parsed, createTestLog(), { maxPauseMs: 500 });
  transports.push(transport);
  return transport;
}

let sent = 0;

/** Something goes out and comes back. */
async function expectPassage(transport: Transport): Promise<void> {
  sent += 1;
  const value = `message ${sent}`;
  const seen: string[] = [];
  await transport.publish([{ topic: 'secure', key: 'k', value, headers: {} }]);
  transport.consume({
    ...{ topics: ['secure'], group: `group-${sent}` },
    async handle(messages) {
      seen.push(...messages.map((message) => String(message.value)));
      return messages.length;
    },
  });
  await until(() => seen.includes(value), { what: 'the message comes back' });
}

const loginOf = (mechanism: Login['mechanism']): Login => ({ mechanism, username: 'flows', password: 'pässword,=7' });
const settingsOf = ({ mechanism, username, password }: Login) => ({
  ...{ KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password },
});

test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)(
  'nothing is sent before a login with %s, also over TLS, and a wrong password is rejected',
  async (mechanism) => {
    const login = loginOf(mechanism);
    const at = await listen({ tls: {}, login });
    const secure = { KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', KAFKA_SSL_CA_PATH: own.certPath };
    await expectPassage(open(at, { ...secure, ...settingsOf(login) }));
    expect(at.loggedIn).toBeGreaterThan(0);
    expect(at.rejected).toBe(0);
    const loggedIn = at.loggedIn;
    await expect(open(at, { ...secure, ...settingsOf({ ...login, password: 'wrong' }) }).ping()).rejects.toThrow();
    expect(at.rejected).toBeGreaterThan(0);
    expect(at.loggedIn).toBe(loggedIn);
    await expect(
      open(at, { KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CA_PATH: own.certPath }).ping(),
    ).rejects.toThrow();
    expect(at.early.length).toBeGreaterThan(0);
  },
);

test('a login without TLS works where the protocol says so', async () => {
  const login = loginOf('SCRAM-SHA-256');
  const at = await listen({ login });
  await expectPassage(open(at, { KAFKA_SECURITY_PROTOCOL: 'SASL_PLAINTEXT', ...settingsOf(login) }));
  expect(at.early).toEqual([]);
});

test('brokers are checked by the certificates of the settings, and get the certificate of this service', async () => {
  const at = await listen({ tls: { clients: ofClient.cert } });
  const ca = { KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CA_PATH: own.certPath };
  await expectPassage(
    open(at, { ...ca, KAFKA_SSL_CERT_PATH: ofClient.certPath, KAFKA_SSL_KEY_PATH: ofClient.keyPath }),
  );
  expect(new Set(at.certificates)).toEqual(new Set(['localhost']));
  const seen = at.certificates.length;
  // Without a certificate of its own, by one that nobody vouches for, without TLS.
  await expect(open(at, ca).ping()).rejects.toThrow();
  await expect(open(at, { KAFKA_SECURITY_PROTOCOL: 'SSL' }).ping()).rejects.toThrow();
  await expect(open(at, {}).ping()).rejects.toThrow();
  expect(at.certificates.length).toBe(seen);
});
