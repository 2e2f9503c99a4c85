/** The client of Kafka as the settings say, with its log in ours. */
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import kafkajs, { type Kafka, type KafkaConfig, type LogEntry, type SASLOptions } from 'kafkajs';
import type { Config } from '../../../../config/config.ts';
import type { Logger } from '../../../../engine/ports/logger.ts';
import { readEveryCompression } from './codecs.ts';
import { correctRequestQueue } from './request-queue.ts';

export type KafkaSettings = Config['kafka'];

/** So long an answer of a broker is waited for. */
const CONNECTS_WITHIN_MS = 5_000;
const ANSWERS_WITHIN_MS = 30_000;
/** About ten seconds in all; who uses the client begins anew then. */
const RETRIES = { retries: 6, initialRetryTime: 100, maxRetryTime: 3_000 };

export function createKafkaClient(settings: KafkaSettings, log: Logger): Kafka {
  correctRequestQueue();
  readEveryCompression();
  const { protocol } = settings;
  return new kafkajs.Kafka({
    clientId: 'orchestrator',
    brokers: [...(settings.servers ?? [])],
    connectionTimeout: CONNECTS_WITHIN_MS,
    requestTimeout: ANSWERS_WITHIN_MS,
    enforceRequestTimeout: true,
    retry: RETRIES,
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => (entry) => write(log, entry),
    ...(protocol === 'SSL' || protocol === 'SASL_SSL' ? { ssl: sslOf(settings) } : {}),
    ...(protocol.startsWith('SASL') ? { sasl: saslOf(settings) } : {}),
  });
}

function sslOf({ caPath, certPath, keyPath }: KafkaSettings): NonNullable<KafkaConfig['ssl']> {
  const read = (path: string) => readFileSync(path, 'utf8');
  return {
    ...(caPath === undefined ? {} : { ca: [...rootCertificates, read(caPath)] }),
    ...(certPath === undefined ? {} : { cert: read(certPath) }),
    ...(keyPath === undefined ? {} : { key: read(keyPath) }),
  };
}

function saslOf({ saslMechanism, saslUsername = '', saslPassword = '' }: KafkaSettings): SASLOptions {
  const login = { username: saslUsername, password: saslPassword };
  switch (saslMechanism) {
    case 'PLAIN':
      return { mechanism: 'plain', ...login };
    case 'SCRAM-SHA-256':
      return { mechanism: 'scram-sha-256', ...login };
    case 'SCRAM-SHA-512':
      return { mechanism: 'scram-sha-512', ...login };
  }
}

/** A broker that is away, and a group whose members change, are no errors: the client goes on when they are back. */
function write(log: Logger, { level, namespace, log: { message, ...fields } }: LogEntry): void {
  const { error, groupId, broker, retryCount, topic, partition } = fields;
  const line = { client: namespace, message, error, groupId, broker, retryCount, topic, partition };
  if (level >= kafkajs.logLevel.INFO) log.debug('Kafka client', line);
  else if (/rebalanc|re-joining/i.test(`${message} ${String(error ?? '')}`)) log.debug('Kafka client', line);
  else log.warn('Kafka client', line);
}
