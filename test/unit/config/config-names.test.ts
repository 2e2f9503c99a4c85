/** Every name that the older services take, and what it does here. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Config, loadConfig } from '../../../src/config/config.ts';
import { WITHOUT_EFFECT } from '../../../src/config/older-names.ts';
import { OLDER_KEYS } from '../../../src/config/sources.ts';
import { namesOf, VARIABLES, type VariableName } from '../../../src/config/variables.ts';
import { makeCertificate } from '../../support/certificate.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'config-names-'));
  mkdirSync(path.join(folder, 'config'));
  makeCertificate(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const load = (environment: Record<string, string>) =>
  loadConfig({ SECRETS_DIR: '/nowhere', ...environment }, { cwd: folder });

type Effect = (config: Config) => unknown;
const tls = { ENABLE_TLS: 'true', TLS_CERT_PATH: 'server.crt', TLS_KEY_PATH: 'server.key' };

/** Name, text, what it changes, to what; what has to be there beside it. */
const EFFECTS: Array<[string, string, Effect, unknown, Record<string, string>?]> = [
  ['ORCHESTRATOR_REDIS_URL', 'redis://localhost:6379', (c) => c.redis, { kind: 'one', url: 'redis://localhost:6379' }],
  [
    'ORCHESTRATOR_DATABASE_URL',
    'postgresql://postgres:postgres@localhost:5432/agent_framework',
    (c) => c.databaseUrl,
    'postgresql://postgres:postgres@localhost:5432/agent_framework',
  ],
  ['DATABASE_URL', 'postgres://db/x', (c) => c.databaseUrl, 'postgres://db/x'],
  ['REDIS_URL', 'redis://redis:6379/0', (c) => c.redis, { kind: 'one', url: 'redis://redis:6379/0' }],
  ['ORCHESTRATOR_MAX_RETRY_ATTEMPTS', '5', (c) => c.defaultRetry.maxAttempts, 6],
  ['ORCHESTRATOR_RETRY_BACKOFF_BASE', '3', (c) => c.defaultRetry.backoffBase, 3],
  ['ORCHESTRATOR_TASK_TIMEOUT_DEFAULT', '60', (c) => c.defaultTimeoutSeconds, 60],
  ['ORCHESTRATOR_METRICS_PORT', '9191', (c) => c.workerPort, 9191],
  ['METRICS_PORT', '9191', (c) => c.workerPort, 9191],
  ['ORCHESTRATOR_METRICS_ENABLED', 'false', (c) => c.metricsEnabled, false],
  ['METRICS_ENABLED', 'False', (c) => c.metricsEnabled, false],
  ['ENABLE_METRICS', '0', (c) => c.metricsEnabled, false],
  ['ORCHESTRATOR_LOG_LEVEL', 'DEBUG', (c) => c.logLevel, 'debug'],
  ['ORCHESTRATOR_LOG_FORMAT', 'text', (c) => c.logFormat, 'text'],
  ['ORCHESTRATOR_SERVICE_HOST', 'localhost', (c) => c.host, 'localhost'],
  ['ORCHESTRATOR_SERVICE_PORT', '5080', (c) => c.port, 5080],
  ['ORCHESTRATOR_ENABLE_TLS', 'true', (c) => c.tls !== undefined, true, tls],
  ['ORCHESTRATOR_TLS_CERT_PATH', 'server.crt', (c) => c.tls !== undefined, true, { ...tls, TLS_CERT_PATH: '' }],
  ['ORCHESTRATOR_TLS_KEY_PATH', 'server.key', (c) => c.tls !== undefined, true, { ...tls, TLS_KEY_PATH: '' }],
  ['ORCHESTRATOR_API_KEY', 'a,b', (c) => c.apiKeys, ['a', 'b']],
  ['ORCHESTRATOR_JWT_SECRET', 's'.repeat(40), (c) => c.authentication.jwt?.secrets, ['s'.repeat(40)]],
  ['API_KEY', '["a"]', (c) => c.apiKeys, ['a']],
  ['ORCHESTRATOR_MAX_CONCURRENT_RUNS', '1000', (c) => c.admissionWindow, 1000],
  ['ORCHESTRATOR_KAFKA_BOOTSTRAP_SERVERS', '["localhost:9092"]', (c) => c.kafka.servers, ['localhost:9092']],
  ['ORCHESTRATOR_KAFKA_BOOTSTRAP_SERVERS', 'kafka:9092', (c) => c.kafka.servers, ['kafka:9092']],
  ['KAFKA_BOOTSTRAP_SERVERS', 'a,b:1', (c) => c.kafka.servers, ['a:9092', 'b:1']],
  ['ORCHESTRATOR_KAFKA_CONSUMER_GROUP', 'mine', (c) => c.kafka.group, 'mine'],
  ['ORCHESTRATOR_KAFKA_AUTO_OFFSET_RESET', 'earliest', (c) => c.kafka.offsetReset, 'earliest'],
  ['KAFKA_SECURITY_PROTOCOL', 'ssl', (c) => c.kafka.protocol, 'SSL'],
  ['ORCHESTRATOR_DEAD_LETTER_QUEUE_TOPIC', 'mine', (c) => c.flowTransport.deadLetters, 'mine'],
  ['ORCHESTRATOR_DEAD_LETTER_QUEUE_ENABLED', 'false', (c) => c.flowTransport.publishDeadLetters, false],
  ['ORCHESTRATOR_MAX_CONCURRENT_TASKS', '500', (c) => c.flowTransport.maxOpenTasks, 500],
  ['ORCHESTRATOR_HEALTH_CHECK_INTERVAL', '30', (c) => c.checkIntervalSeconds, 30],
  ['ORCHESTRATOR_HEALTH_CHECK_TIMEOUT', '2.5', (c) => c.healthCheckTimeoutMs, 2_500],
  ['FASTAPI_HOST', 'localhost', (c) => c.host, 'localhost'],
  ['FASTAPI_PORT', '8000', (c) => c.effective.settings['PORT']?.found_as, 'FASTAPI_PORT'],
  ['PORT', '5099', (c) => c.port, 5099],
  ['REDIS_HOST', 'redis', (c) => c.redis, { kind: 'one', url: 'redis://redis:6379' }],
  ['LOG_LEVEL', 'WARNING', (c) => c.logLevel, 'warn'],
  ['REPORTING_URL', 'http://reporting:5030', (c) => c.services['reporting'], 'http://reporting:5030'],
  ['DOC_STORE_URL', 'http://doc-store:5087', (c) => c.services['doc_store'], 'http://doc-store:5087'],
  ['NOTIFICATION_URL', 'http://notify:5095', (c) => c.services['notification'], 'http://notify:5095'],
  ['SECURE_ANALYZER_URL', 'http://analyzer:5070', (c) => c.services['secure_analyzer'], 'http://analyzer:5070'],
  ['SOURCE_AGENT_URL', 'http://source-agent:5000', (c) => c.services['source_agent'], 'http://source-agent:5000'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://otel:4318', (c) => c.traceExport?.url, 'http://otel:4318/v1/traces'],
  ['LOG_COLLECTOR_URL', 'http://log-collector:5080', (c) => c.logCollectorUrl, 'http://log-collector:5080'],
  ['ESC_URL', 'http://esc', (c) => c.adapterSettings.ESC_URL, 'http://esc'],
  ['ENABLE_VOLCANO_SCHEDULER', 'true', (c) => c.kubernetes.enabled, true],
  ['VOLCANO_NAMESPACE', 'jobs', (c) => c.kubernetes.namespace, 'jobs'],
  ['VOLCANO_DEFAULT_QUEUE', 'batch', (c) => c.kubernetes.queue, 'batch'],
  ['VOLCANO_SESSION_IMAGE', 'python:3.13', (c) => c.kubernetes.image, 'python:3.13'],
  ['VOLCANO_SESSION_CPU', '2', (c) => c.kubernetes.cpu, '2'],
  ['VOLCANO_SESSION_MEMORY', '1Gi', (c) => c.kubernetes.memory, '1Gi'],
  ['VOLCANO_JOB_TIMEOUT_SECONDS', '60', (c) => c.kubernetes.timeoutSeconds, 60],
  ['KUBECTL_BINARY', '/opt/kubectl', (c) => c.kubernetes.kubectl, '/opt/kubectl'],
  ['CORS_ORIGINS', '["https://a.example"]', (c) => c.corsOrigins, ['https://a.example']],
  ['ORCHESTRATOR_REDIS_KEY_TTL', '60', (c) => c.flowRunner.stateTtlSeconds, 60],
  ['ORCHESTRATOR_STATE_KEY_PREFIX', 'north:', (c) => c.flowRunner.statePrefix, 'north:'],
];

test.each(EFFECTS)('%s=%s has its effect', (name, text, effect, expected, beside = {}) => {
  expect(effect(load({ ...beside, [name]: text }))).toEqual(expected);
  const without = Object.fromEntries(Object.entries(beside).filter(([key]) => !name.endsWith(key)));
  const before = () => effect(loadConfig({ SECRETS_DIR: '/nowhere', ...without }, { cwd: folder }));
  // Without the certificate there is no configuration at all to compare with.
  if (name.includes('TLS_')) expect(before).toThrow(/TLS_(CERT|KEY)_PATH/);
  else expect(before()).not.toEqual(expected);
});

const WITHOUT = [
  'ORCHESTRATOR_KAFKA_ENABLE_AUTO_COMMIT=true',
  'ORCHESTRATOR_FLOW_REGISTRY_URL=postgresql://postgres:postgres@localhost:5432/agent_framework',
  'ORCHESTRATOR_DB_PATH=../../data/orchestrator_workflows.db',
  'TEMPORAL_HOST=localhost:7233',
  'TEMPORAL_NAMESPACE=default',
  'CELERY_BROKER_URL=redis://redis:6379/0',
  'CELERY_RESULT_BACKEND=redis://redis:6379/0',
  'ESC_USERNAME=u',
  'ESC_PASSWORD=p',
  'HEADLESS=true',
  'SELENIUM_TIMEOUT=30',
  'DOWNLOAD_PATH=/tmp',
  'SERVICE_NAME=orchestrator',
  'TRACING_ENABLED=true',
];

test.each(WITHOUT)('%s is accepted, and said to have no effect with the reason', (line) => {
  const [name = '', text = ''] = line.split(/=(.*)/s);
  const plain = name.replace('ORCHESTRATOR_', '');
  const config = load({ [name]: text });
  expect(config.withoutEffect).toEqual([plain]);
  expect(config.effective.without_effect).toEqual({ [plain]: WITHOUT_EFFECT[plain] });
  expect({ ...config.services }).toEqual({});
});

test('a name has an effect or has none, never both, and each reason is a sentence', () => {
  const effective = (Object.keys(VARIABLES) as VariableName[]).flatMap(namesOf);
  expect(Object.keys(WITHOUT_EFFECT).filter((name) => effective.includes(name))).toEqual([]);
  for (const why of Object.values(WITHOUT_EFFECT)) expect(why).toMatch(/^[A-Z].{20,}\.$/);
});

describe('config/orchestrator.yaml of the older platform', () => {
  const KEYS = Object.entries(OLDER_KEYS).flatMap(([section, keys]) =>
    Object.entries(keys).map(([key, name]): [string, string, string] => [section, key, name]),
  );
  const TEXTS: Record<string, string> = {
    path: 'x.db',
    host: 'localhost',
    enable_tls: 'false',
    enabled: 'true',
    jwt_secret: 'x'.repeat(32),
    tls_cert_path: 'a',
    tls_key_path: 'b',
    log_level: 'error',
    service_mesh_enabled: 'false',
    event_streaming_enabled: 'false',
    circuit_breaker_enabled: 'false',
    rate_limiting_enabled: 'true',
  };

  test('has the keys that it had', () => {
    expect(KEYS.map(([section, key]) => `${section}.${key}`)).toEqual([
      ...['database.path', 'database.connection_pool_size', 'database.timeout_seconds'],
      ...['services.host', 'services.port', 'services.workers'],
      ...['security.enable_tls', 'security.tls_cert_path', 'security.tls_key_path', 'security.jwt_secret'],
      ...[
        'monitoring.enabled',
        'monitoring.metrics_interval',
        'monitoring.health_check_interval',
        'monitoring.log_level',
      ],
      ...['enterprise.service_mesh_enabled', 'enterprise.event_streaming_enabled'],
      ...['enterprise.circuit_breaker_enabled', 'enterprise.rate_limiting_enabled'],
    ]);
  });

  test.each(KEYS)('%s.%s is the setting %s', (section, key, name) => {
    writeFileSync(path.join(folder, 'config/orchestrator.yaml'), `${section}: {${key}: ${TEXTS[key] ?? '17'}}\n`);
    try {
      // What has no effect is told; what has one has this source.
      const { effective, withoutEffect } = load({});
      if (Object.hasOwn(WITHOUT_EFFECT, name)) expect(withoutEffect).toEqual([name]);
      else
        expect(effective.settings[name]).toEqual({
          value: expect.anything(),
          source: 'config/orchestrator.yaml',
          found_as: `${section}.${key}`,
        });
    } finally {
      rmSync(path.join(folder, 'config/orchestrator.yaml'));
    }
  });
});
