import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configurationPage } from '../../../scripts/configuration-page.ts';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { VARIABLES } from '../../../src/config/variables.ts';
import { withoutCredentials } from '../../../src/domain/texts/mask-secrets.ts';
import { effectiveConfig } from '../../../src/schemas/effective-config.ts';

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(path.join(tmpdir(), 'effective-'));
  mkdirSync(path.join(cwd, 'config'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const write = (name: string, text: string) => writeFileSync(path.join(cwd, name), text);
const effective = (environment: Record<string, string> = {}) =>
  loadConfig({ SECRETS_DIR: path.join(cwd, 'none'), ...environment }, { cwd }).effective;

test('every setting is shown with its value, where it comes from, and the name under which it was found', () => {
  write('.env', 'ORCHESTRATOR_RETENTION_DAYS=90\n');
  write('config/orchestrator.yaml', 'monitoring: {log_level: WARNING}\nworker_concurrency: 20\n');
  write('config/app.yaml', 'redis: {host: cache, port: 6380}\norchestrator: {admission_window: 5}\n');
  const { settings } = effective({ FASTAPI_PORT: '5099', WORKER_LANES: 'wait,transform', TENANT_WEIGHTS: 'a=2' });
  expect(Object.keys(settings)).toEqual(Object.keys(VARIABLES));
  expect(settings).toMatchObject({
    PORT: { value: 5099, source: 'environment', found_as: 'FASTAPI_PORT' },
    WORKER_LANES: { value: ['wait', 'transform'], source: 'environment' },
    TENANT_WEIGHTS: { value: { a: 2 }, source: 'environment' },
    RETENTION_DAYS: { value: 90, source: '.env', found_as: 'ORCHESTRATOR_RETENTION_DAYS' },
    LOG_LEVEL: { value: 'warn', source: 'config/orchestrator.yaml', found_as: 'monitoring.log_level' },
    WORKER_CONCURRENCY: { value: 20, source: 'config/orchestrator.yaml', found_as: 'worker_concurrency' },
    ADMISSION_WINDOW: { value: 5, source: 'config/app.yaml', found_as: 'orchestrator.admission_window' },
    // Worked out: of two other settings, and of there being no keys.
    REDIS_URL: { value: 'redis://cache:6380', source: 'config/app.yaml', found_as: 'redis.host' },
    HOST: { value: '127.0.0.1', source: 'default' },
    EGRESS_POLICY: { value: 'internal', source: 'default' },
    BODY_LIMIT_BYTES: { value: 1_048_576, source: 'default' },
    DATABASE_URL: { value: null, source: 'default' },
    API_KEY: { value: null, source: 'default' },
  });
  expect(settings['WORKER_LANES']).not.toHaveProperty('found_as');
});

test('nothing secret is in it: keys and tokens are masked as a whole, URLs lose user, password and query', () => {
  mkdirSync(path.join(cwd, 'secrets'));
  write('secrets/FROM_FILE', 'file-secret-1');
  const shown = effective({
    API_KEY: 'key-abcdefgh,key-ijklmnop',
    WEBHOOK_SECRET: 'whsec_c2VjcmV0',
    APPROVAL_LINK_SECRET: 'x'.repeat(40),
    DATABASE_URL: 'postgresql://me:hunter2@db:5432/x?sslpassword=hunter3',
    REDIS_URL: 'redis://:hunter4@cache:6379/0',
    LOG_COLLECTOR_URL: 'https://log:hunter5@collector/in?token=hunter6',
    SLACK_WEBHOOK_URL: 'https://hooks.example/hunter7',
    ESC_URL: 'http://u:hunter8@esc/?key=hunter9',
    SERVICES: '{"billing":"http://u:hunter10@billing:1"}',
    DOC_STORE_URL: 'http://u:hunter11@doc-store:5087',
    SECRET_TOKEN: 'env-secret-1',
    SECRETS_DIR: path.join(cwd, 'secrets'),
    EGRESS_ALLOW: 'env-secret-1.example',
  });
  const text = JSON.stringify(shown);
  expect(text).not.toMatch(/hunter|key-|whsec|xxx|secret-1/);
  expect(shown.settings).toMatchObject({
    API_KEY: { value: '***', source: 'environment' },
    WEBHOOK_SECRET: { value: '***' },
    APPROVAL_LINK_SECRET: { value: '***' },
    SLACK_WEBHOOK_URL: { value: '***' },
    DATABASE_URL: { value: 'postgresql://db:5432/x?***' },
    REDIS_URL: { value: 'redis://cache:6379/0' },
    LOG_COLLECTOR_URL: { value: 'https://collector/in?***' },
    ESC_URL: { value: 'http://esc/?***' },
    SERVICES: { value: { billing: 'http://billing:1/' } },
    EGRESS_ALLOW: { value: ['***.example'] },
  });
  expect({ ...shown.services }).toEqual({
    billing: { url: 'http://billing:1/', source: 'environment', found_as: 'SERVICES' },
    doc_store: { url: 'http://doc-store:5087/', source: 'environment', found_as: 'DOC_STORE_URL' },
  });
  expect({ ...shown.secrets }).toEqual({
    TOKEN: { source: 'environment', found_as: 'SECRET_TOKEN' },
    FROM_FILE: { source: path.join(cwd, 'secrets') },
  });
  expect(effectiveConfig.parse(shown)).toEqual(shown);
});

test.each([
  ['http://a', 'http://a'],
  ['http://u:p@a/b', 'http://a/b'],
  ['postgresql://u:p@h1:1,h2:2/x', '***'],
  ['redis://a?x=1', 'redis://a?***'],
  ['https://a/b#c', 'https://a/b'],
])('%s is shown as %s', (url, shown) => expect(withoutCredentials(url)).toBe(shown));

test('a fault tells the file, the key in it, the value unless it may be secret, and what is allowed', () => {
  write('.env', 'WORKER_CONCURRENCY=0\nAPPROVAL_LINK_SECRET=tooshort\n');
  write('config/orchestrator.yaml', 'monitoring: {log_level: loud}\nprot: 1\n');
  write('config/app.yaml', 'orchestrator: {egress_policy: [1]}\n');
  let faults: readonly string[] = [];
  try {
    effective({ SERVICES: '{"a":"ftp://u:hunter2@x"}' });
  } catch (error) {
    if (error instanceof ConfigError) faults = error.faults;
  }
  expect([...faults].sort()).toEqual([
    'APPROVAL_LINK_SECRET (.env) must be a JSON list of strings, or words with commas between them, each of at least 32 characters, not "***".',
    'SERVICES must be a JSON object of names and http(s) URLs, not "{\\"a\\":\\"ftp://u:***@x\\"}".',
    'WORKER_CONCURRENCY (.env) must be a whole number from 1 to 10000, not "0".',
    'monitoring.log_level (config/orchestrator.yaml) must be one of debug, info, warn, error, not "loud".',
    'orchestrator.egress_policy (config/app.yaml) must be one of internal, registered, public-only, none, not "[\\"1\\"]".',
    "prot (config/orchestrator.yaml) is no setting (did you mean 'port'?).",
  ]);
});

test('the file that the page shows is taken as it is', () => {
  const shown = /```yaml\n([\s\S]*?)```/.exec(configurationPage())?.[1] ?? '';
  write('config/orchestrator.yaml', shown);
  const { settings, services } = effective();
  const source = 'config/orchestrator.yaml';
  expect(settings).toMatchObject({
    HOST: { value: '127.0.0.1', source, found_as: 'services.host' },
    PORT: { value: 8000, source, found_as: 'services.port' },
    LOG_LEVEL: { value: 'info', source, found_as: 'monitoring.log_level' },
    WORKER_CONCURRENCY: { value: 20, source, found_as: 'worker_concurrency' },
    RETENTION_DAYS: { value: 90, source, found_as: 'retention_days' },
  });
  expect({ ...services }).toEqual({
    doc_store: { url: 'http://doc-store:5087', source, found_as: 'doc_store_url' },
  });
});
