import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { configurationPage } from '../../../scripts/configuration-page.ts';
import { envTemplate } from '../../../scripts/env-template.ts';
import { type Config, ConfigError, loadConfig } from '../../../src/config/config.ts';
import { outbound } from '../../../src/config/settings/outbound.ts';
import { namesOf, VARIABLE_NAMES, VARIABLES } from '../../../src/config/variables.ts';
import { projectRoot } from '../../../src/project-root.ts';

let parent: string;
let cwd: string;

beforeEach(() => {
  parent = mkdtempSync(path.join(tmpdir(), 'config-'));
  cwd = path.join(parent, 'checkout');
  mkdirSync(path.join(cwd, 'config'), { recursive: true });
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

const write = (name: string, text: string) => writeFileSync(path.join(cwd, name), text);
const load = (environment: Record<string, string> = {}): Config =>
  loadConfig({ SECRETS_DIR: path.join(cwd, 'none'), ...environment }, { cwd });
function faults(environment: Record<string, string>): readonly string[] {
  try {
    load(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

test('without any setting it listens on this machine only and has the documented defaults', () => {
  expect(load()).toMatchObject({
    port: 8000,
    host: '127.0.0.1',
    databaseUrl: undefined,
    redis: undefined,
    queuePrefix: '{orch-0}',
    dataDir: path.join(cwd, 'data'),
    logFile: path.join(cwd, 'logs/automation.log'),
    logLevel: 'info',
    logFormat: 'json',
    workerLanes: 'all',
    workerConcurrency: 50,
    workerPort: 9090,
    shutdownGraceSeconds: 30,
    bodyLimitBytes: 1_048_576,
    maxOutputBytes: 1_048_576,
    admissionWindow: 10_000,
    egressPolicy: 'internal',
    corsOrigins: ['loopback'],
    apiKeys: [],
    defaultRetry: { maxAttempts: 4, backoffBase: 2 },
    defaultTimeoutSeconds: 300,
  });
});

test('what outbound requests may reach can be said for single tenants, and the API of the cluster is known', () => {
  const of = '{"acme": {"policy": "none", "allow": ["api.example.com"]}, "other": {"deny": ["*.example.org"]}}';
  expect([...load({ EGRESS_TENANTS: of }).egressTenants]).toEqual([
    ['acme', { policy: 'none', allow: ['api.example.com'], deny: [] }],
    ['other', { allow: [], deny: ['*.example.org'] }],
  ]);
  const networks = '10.1.0.0/16, 10.1.0.0/16:9200, fd12::/16, [fd12::/16]:9200, *.example.com, es:9200, [fd12::1]:80';
  expect(load({ EGRESS_ALLOW: networks }).egressAllow).toEqual(networks.split(', '));
  for (const wrong of ['10.0.0.0/33', '10.0.0/8', 'http://example.com', 'fd12::/129', 'example.com/path'])
    expect(faults({ EGRESS_ALLOW: wrong })).toEqual([expect.stringMatching(/^EGRESS_ALLOW must be a list of host/)]);
  for (const wrong of [
    '{"acme": {"deny": ["10.0.0.0/33"]}}',
    'acme',
    '[]',
    '{"acme": {"polcy": "none"}}',
    '{"acme": {"policy": "all"}}',
    '{"acme": ["x"]}',
  ]) {
    expect(faults({ EGRESS_TENANTS: wrong })).toEqual([
      expect.stringMatching(/^EGRESS_TENANTS must be JSON of tenants/),
    ]);
  }
  expect(load().kubernetesApi).toBeUndefined();
  expect(load({ KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '6443' }).kubernetesApi).toEqual({
    host: '10.96.0.1',
    port: 6443,
  });
});

test('the proxies that are trusted are a number, or networks', () => {
  expect(load().trustProxy).toBe(0);
  expect(load({ TRUST_PROXY: '2' }).trustProxy).toBe(2);
  expect(load({ TRUST_PROXY: '10.0.0.0/8, 192.0.2.1, fd00::/8,loopback' }).trustProxy).toEqual([
    '10.0.0.0/8',
    '192.0.2.1/32',
    'fd00::/8',
    '127.0.0.0/8',
    '::1/128',
  ]);
  for (const wrong of ['true', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', '-1', '10.0.0.0/8,everybody']) {
    expect(faults({ TRUST_PROXY: wrong })).toEqual([expect.stringMatching(/^TRUST_PROXY must be a number of proxies/)]);
  }
});

test('the configuration cannot be changed afterwards', () => {
  const config = load({ API_KEY: 'one' });
  expect(Object.isFrozen(config)).toBe(true);
  expect(Object.isFrozen(config.apiKeys)).toBe(true);
  expect(Object.isFrozen(config.services)).toBe(true);
});

test('all faults are named at once, under the names that were used', () => {
  const found = faults({
    FASTAPI_PORT: 'abc',
    LOG_LEVEL: 'loud',
    DATABASE_URL: 'mysql://me:hunter2@db/x',
    WORKER_CONCURRENCY: '0',
  });
  expect(found).toHaveLength(4);
  expect(found.join('\n')).toContain('FASTAPI_PORT must be a whole number from 0 to 65535, not "abc".');
  expect(found.join('\n')).toContain('LOG_LEVEL must be one of debug, info, warn, error, not "loud".');
  expect(found.join('\n')).toContain(
    'DATABASE_URL must be a URL that begins with postgresql:// or postgres://, not "***".',
  );
  expect(found.join('\n')).not.toContain('hunter2');
});

describe('where settings come from', () => {
  test('the environment wins over .env, that over orchestrator.yaml, that over app.yaml', () => {
    write(
      'config/app.yaml',
      'orchestrator:\n  port: 1\n  worker_port: 1\n  admission_window: 1\n  worker_concurrency: 1\n',
    );
    write('config/orchestrator.yaml', 'port: 2\nworker_port: 2\nADMISSION_WINDOW: 2\n');
    write('.env', 'PORT=3\nWORKER_PORT=3\n');
    expect(load({ PORT: '4' })).toMatchObject({ port: 4, workerPort: 3, admissionWindow: 2, workerConcurrency: 1 });
  });

  test('.env is also found one folder up', () => {
    writeFileSync(path.join(parent, '.env'), 'PORT=7000\n');
    expect(load().port).toBe(7000);
  });

  test('ours wins over an alias, and every variable is known with ORCHESTRATOR_ in front', () => {
    expect(load({ PORT: '1', FASTAPI_PORT: '2', ORCHESTRATOR_SERVICE_PORT: '3' }).port).toBe(1);
    expect(load({ FASTAPI_PORT: '2', ORCHESTRATOR_SERVICE_PORT: '3' }).port).toBe(2);
    expect(load({ ORCHESTRATOR_LOG_LEVEL: 'DEBUG', ORCHESTRATOR_METRICS_PORT: '9000' })).toMatchObject({
      logLevel: 'debug',
      workerPort: 9000,
    });
  });

  test('an alias in the environment wins over our name in .env', () => {
    write('.env', 'PORT=3\n');
    expect(load({ FASTAPI_PORT: '2' }).port).toBe(2);
  });

  test('an empty text counts as not set', () => {
    expect(load({ PORT: '', REDIS_URL: ' ' })).toMatchObject({ port: 8000, redis: undefined });
  });

  test('the sections of the older files are taken', () => {
    write(
      'config/orchestrator.yaml',
      [
        'database: {path: ./x.db, connection_pool_size: 5, timeout_seconds: 30}',
        'services: {host: localhost, port: 5080, workers: 4}',
        'security: {enable_tls: false}',
        'monitoring: {enabled: true, metrics_interval: 60, health_check_interval: 30, log_level: WARNING}',
        'enterprise: {service_mesh_enabled: false, circuit_breaker_enabled: true}',
      ].join('\n'),
    );
    write(
      'config/app.yaml',
      'services:\n  SOURCE_AGENT_URL: http://source-agent:5000\n  doc-store: {base_url: "http://doc-store:5087/"}\nredis: {host: cache, port: 6380}\n',
    );
    expect(load()).toMatchObject({
      databasePoolSize: 5,
      port: 5080,
      logLevel: 'warn',
      redis: { kind: 'one', url: 'redis://cache:6380' },
      services: { source_agent: 'http://source-agent:5000', doc_store: 'http://doc-store:5087' },
    });
  });

  test('a file that is no YAML, or has an unknown key in a section, is named', () => {
    write('config/orchestrator.yaml', 'services: {hots: localhost}\n');
    write('config/app.yaml', 'services: [\n');
    const found = faults({});
    expect(found).toHaveLength(2);
    expect(found[0]).toMatch(/^config\/orchestrator\.yaml: .*hots/);
    expect(found[1]).toMatch(/^config\/app\.yaml: /);
  });
});

describe('who may come in', () => {
  test.each(['0.0.0.0', '192.168.1.5', '::', 'example.org'])(
    'listening on %s without credentials is refused',
    (host) => {
      expect(faults({ HOST: host })).toEqual([
        `HOST is ${host}, which others can reach, and no authentication is configured: set API_KEY, JWT_SECRET, JWKS_URL or IDENTITY_SERVICE_URL, or AUTH_MODE=none to let everybody in.`,
      ]);
      expect(load({ HOST: host, AUTH_MODE: 'none' }).host).toBe(host);
      expect(load({ HOST: host, API_KEY: 'k' }).host).toBe(host);
    },
  );

  test.each(['127.0.0.1', 'localhost', '::1'])('listening on %s needs none', (host) => {
    expect(load({ HOST: host }).host).toBe(host);
  });

  test('with credentials, or when everybody may, it listens everywhere and actions reach registered and public addresses', () => {
    expect(load({ API_KEY: 'k' })).toMatchObject({ host: '0.0.0.0', egressPolicy: 'registered' });
    expect(load({ AUTH_MODE: 'none' })).toMatchObject({ host: '0.0.0.0', egressPolicy: 'registered' });
    expect(load({ AUTH_MODE: 'none', HOST: '127.0.0.1' }).egressPolicy).toBe('internal');
    expect(load({ API_KEY: 'k', HOST: '127.0.0.1', EGRESS_POLICY: 'none' }).egressPolicy).toBe('none');
  });

  const SECRET = 's'.repeat(32);
  const PROVIDER = { JWKS_URL: 'https://id.example/keys', JWT_ISSUER: 'https://id.example', JWT_AUDIENCE: 'us' };

  test('a secret or keys of tokens are credentials like API keys: it listens everywhere then', () => {
    expect(load().authentication).toMatchObject({ required: false, jwt: undefined });
    for (const settings of [{ ORCHESTRATOR_JWT_SECRET: SECRET }, PROVIDER]) {
      expect(load(settings)).toMatchObject({ host: '0.0.0.0', egressPolicy: 'registered', apiKeys: [] });
      expect(load({ ...settings, AUTH_REQUIRED: 'true', HOST: '::' }).authentication.required).toBe(true);
      expect(faults({ ...settings, PEERS: 'http://a' })).toHaveLength(1);
    }
    expect(
      load({ JWT_SECRET: `${SECRET},${SECRET}2`, ...PROVIDER, JWT_DEFAULT_ROLES: 'operator,viewer' }),
    ).toMatchObject({
      authentication: {
        jwt: {
          secrets: [SECRET, `${SECRET}2`],
          jwksUrl: 'https://id.example/keys',
          issuers: ['https://id.example'],
          audiences: ['us'],
          toleranceSeconds: 30,
          tenantClaim: 'tenant_id',
          rolesClaim: 'roles',
          defaultTenant: undefined,
          defaultRoles: ['viewer', 'operator'],
        },
      },
      hidden: [SECRET, `${SECRET}2`],
    });
  });

  test('what would let strangers in is refused: a short secret, keys of a provider without an audience, unknown roles', () => {
    expect(faults({ JWT_SECRET: 'short-secret' })).toEqual([
      'JWT_SECRET must be a JSON list of strings, or words with commas between them, each of at least 32 characters, not "***".',
    ]);
    for (const left of ['JWT_ISSUER', 'JWT_AUDIENCE']) {
      expect(faults({ ...PROVIDER, [left]: '' })).toEqual([
        'JWKS_URL is set and JWT_ISSUER or JWT_AUDIENCE is not: tokens that the provider made for others would be taken.',
      ]);
    }
    expect(faults({ JWT_SECRET: SECRET, JWT_DEFAULT_ROLES: 'root' })).toHaveLength(1);
    expect(faults({ API_KEY: 'k', TRUSTED_CALLERS: 'gateway' })).toEqual([
      'TRUSTED_CALLERS must name each as api_key:<name>, jwt:<issuer>|<tenant>|<sub> or certificate:<user>.',
    ]);
    expect(faults({ METRICS_TOKEN: 'short' })).toHaveLength(1);
  });

  test('a trusted caller is named with its issuer and tenant; a subject alone is that of the one issuer, in the tenant default', () => {
    const trusted = (JWT_ISSUER: string, TRUSTED_CALLERS: string) =>
      load({ JWT_SECRET: SECRET, JWT_ISSUER, TRUSTED_CALLERS }).authentication.trustedCallers;
    expect(trusted('https://id', 'jwt:gateway,api_key:ci')).toEqual(['jwt:https://id|default|gateway', 'api_key:ci']);
    expect(trusted('https://id', 'jwt:auth0|7')).toEqual(['jwt:https://id|default|auth0|7']);
    const whole = 'jwt:https://id|acme|auth0|7';
    for (const issuers of ['', 'https://id', 'https://id,https://other'])
      expect(trusted(issuers, whole)).toEqual([whole]);
    expect(trusted('', 'jwt:|acme|gateway')).toEqual(['jwt:|acme|gateway']);
    for (const [issuers, count] of [
      ['', 0],
      ['https://id,https://other', 2],
    ] as const) {
      expect(faults({ JWT_SECRET: SECRET, JWT_ISSUER: issuers, TRUSTED_CALLERS: 'jwt:gateway' })).toEqual([
        `TRUSTED_CALLERS has jwt:gateway: with ${count} issuers in JWT_ISSUER it does not say whose token that is; name it as jwt:<issuer>|<tenant>|<sub>.`,
      ]);
    }
  });

  test('an identity service requires credentials of everybody, and its password is hidden', () => {
    expect(load()).toMatchObject({ identity: { url: undefined, cacheSeconds: 30, timeoutMs: 2_000 } });
    const config = load({ AUTH_REQUIRED: 'true', IDENTITY_SERVICE_URL: 'http://user:pass-word@id:10002' });
    expect(config).toMatchObject({ host: '0.0.0.0', authentication: { required: true, jwt: undefined } });
    expect(config.hidden).toEqual(['pass-word']);
    expect(faults({ IDENTITY_SERVICE_URL: 'id:10002' })).toEqual([
      'IDENTITY_SERVICE_URL must be a URL that begins with http:// or https://, not "***".',
    ]);
  });

  test('a policy that nobody would decide is rejected rather than ignored', () => {
    expect(load().policy).toEqual({
      ...{ engineUrl: undefined, scope: 'sessions', timeoutMs: 2_000, failOpen: false, dialect: 'native' },
    });
    const engine = { POLICY_ENGINE_URL: 'http://policy:10020', POLICY_SCOPE: 'all', POLICY_DIALECT: 'OPA' };
    expect(load(engine).policy).toMatchObject({ engineUrl: 'http://policy:10020', scope: 'all', dialect: 'opa' });
    expect(faults({ POLICY_SCOPE: 'all' })).toEqual([
      'POLICY_SCOPE is all and POLICY_ENGINE_URL is not set: nobody would decide anything.',
    ]);
    expect(faults({ ...engine, POLICY_SCOPE: 'some', POLICY_FAIL_OPEN: 'maybe' })).toHaveLength(2);
  });

  test('AUTH_REQUIRED refuses to start without credentials; AUTH_MODE=none takes none away', () => {
    expect(faults({ AUTH_REQUIRED: 'true' })).toHaveLength(1);
    expect(load({ AUTH_REQUIRED: 'true', API_KEY: 'k' }).apiKeys).toEqual(['k']);
    expect(load({ AUTH_MODE: 'none', API_KEY: 'k' }).apiKeys).toEqual(['k']);
  });

  test('a list is JSON or commas', () => {
    expect(load({ API_KEY: ' a, b ,,a' }).apiKeys).toEqual(['a', 'b']);
    expect(load({ API_KEY: '["a,b","c"]' }).apiKeys).toEqual(['a,b', 'c']);
    expect(faults({ API_KEY: '["a"' })).toHaveLength(1);
  });
});

describe('the stores', () => {
  test('peers are base URLs, under the older name too, and signed where credentials are asked for', () => {
    expect(load()).toMatchObject({ peers: [], peerSecrets: [] });
    expect(load({ ORCHESTRATOR_PEERS: 'http://a:8000/, https://b/x//' }).peers).toEqual([
      'http://a:8000',
      'https://b/x',
    ]);
    expect(load({ PEERS: '["http://a", "http://a/"]' }).peers).toEqual(['http://a']);
    for (const peers of ['a:8000', 'ftp://a', 'http://user:word@a', 'http://a?b']) {
      const [fault = '', ...others] = faults({ PEERS: peers });
      expect(others).toEqual([]);
      expect(fault).toMatch(/^PEERS must be http\(s\) URLs without user, query and fragment, not /);
      expect(fault).not.toContain('word');
    }
    const secret = 's'.repeat(32);
    expect(faults({ PEERS: 'http://a', API_KEY: 'k' })).toEqual([
      'PEERS is set beside authentication and no PEER_SECRET is: peers could not tell each other from anybody else.',
    ]);
    expect(load({ PEERS: 'http://a', API_KEY: 'k', PEER_SECRET: secret })).toMatchObject({
      peerSecrets: [secret],
      hidden: ['k', secret],
    });
  });

  test('REDIS_URL wins over REDIS_HOST', () => {
    expect(load({ REDIS_HOST: 'redis' }).redis).toEqual({ kind: 'one', url: 'redis://redis:6379' });
    expect(load({ REDIS_HOST: 'redis', ORCHESTRATOR_REDIS_URL: 'redis://redis:6379/0' }).redis).toEqual({
      kind: 'one',
      url: 'redis://redis:6379/0',
    });
  });

  test('the driver of another language in a database URL is left out', () => {
    expect(load({ ORCHESTRATOR_DATABASE_URL: 'postgresql+asyncpg://a:b@db/x' }).databaseUrl).toBe(
      'postgresql://a:b@db/x',
    );
  });
});

describe('services and secrets', () => {
  test('<NAME>_URL of the environment is a service, unless it is a setting of ours or no web address', () => {
    const { services, adapterSettings } = load({
      ANALYSIS_SERVICE_URL: 'http://analysis:5020/',
      GIT_REPOSITORY_URL: 'git@example.org:x.git',
      DATABASE_URL: 'postgresql://a:b@db/x',
      ESC_URL: 'http://esc:1',
      PUBLIC_URL: 'http://public',
      ORCHESTRATOR_FLOW_REGISTRY_URL: 'http://flows',
    });
    expect({ ...services }).toEqual({ analysis_service: 'http://analysis:5020' });
    expect(adapterSettings).toEqual({ ESC_URL: 'http://esc:1' });
  });

  test('SERVICES names several at once and wins', () => {
    expect({
      ...load({ SERVICES: '{"doc-store":"http://a:1","b":"https://b"}', B_URL: 'http://other' }).services,
    }).toEqual({ doc_store: 'http://a:1', b: 'https://b' });
    expect(faults({ SERVICES: '{"a":"ftp://x"}' })).toEqual([
      'SERVICES must be a JSON object of names and http(s) URLs, not "{\\"a\\":\\"ftp://x\\"}".',
    ]);
  });

  test('secrets come from SECRET_<NAME> and from the files of SECRETS_DIR, without the line end', () => {
    mkdirSync(path.join(cwd, 'secrets'));
    write('secrets/TOKEN', 'from file\n');
    write('secrets/OTHER', 'other');
    write('secrets/.hidden', 'x');
    const { secrets, hidden } = load({ SECRETS_DIR: path.join(cwd, 'secrets'), SECRET_TOKEN: 'from environment' });
    expect({ ...secrets }).toEqual({ TOKEN: 'from environment', OTHER: 'other' });
    expect(hidden).toEqual(expect.arrayContaining(['from environment', 'other']));
  });

  test('what must not be logged is known: keys, secrets and the passwords in URLs', () => {
    const { hidden } = load({
      API_KEY: 'key-1',
      WEBHOOK_SECRET: 'whsec',
      DATABASE_URL: 'postgresql://a:p%40ss@db/x',
      REDIS_URL: 'redis://:rpass@r',
    });
    expect(hidden).toEqual(expect.arrayContaining(['key-1', 'whsec', 'p%40ss', 'p@ss', 'rpass']));
  });
});

test.each([
  ['DEBUG', 'debug'],
  ['Info', 'info'],
  ['WARNING', 'warn'],
  ['warn', 'warn'],
  ['ERROR', 'error'],
  ['Critical', 'error'],
])('LOG_LEVEL=%s means %s', (text, level) => {
  expect(load({ LOG_LEVEL: text }).logLevel).toBe(level);
});

test('LOG_FILE=none leaves the console', () => {
  expect(load({ LOG_FILE: 'none' }).logFile).toBeUndefined();
});

test('lanes are a list, or all', () => {
  expect(load({ WORKER_LANES: 'wait,transform' }).workerLanes).toEqual(['wait', 'transform']);
  expect(load({ WORKER_LANES: 'all' }).workerLanes).toBe('all');
});

test('settings that have no effect yet are accepted and told', () => {
  expect(load({ ORCHESTRATOR_KAFKA_ENABLE_AUTO_COMMIT: 'true', TEMPORAL_HOST: 'x' }).withoutEffect).toEqual([
    'KAFKA_ENABLE_AUTO_COMMIT',
    'TEMPORAL_HOST',
  ]);
});

test('messages of flow runs need a transport that is named, reached and logged in at', () => {
  expect(load().transport).toBeUndefined();
  expect(load({ KAFKA_BOOTSTRAP_SERVERS: 'kafka' }).transport).toBe('kafka');
  expect(load({ FLOW_TRANSPORT: 'redis-streams', REDIS_URL: 'redis://r' }).transport).toBe('redis-streams');
  expect(load().messageTenants).toEqual(['*']);
  expect(load({ API_KEY: 'k' }).messageTenants).toEqual(['default']);
  expect(load({ API_KEY: 'k', KAFKA_TENANTS: 'a,b' }).messageTenants).toEqual(['a', 'b']);
  expect(() => load({ FLOW_TRANSPORT: 'kafka' })).toThrow('names no broker');
  expect(() => load({ FLOW_TRANSPORT: 'redis-streams' })).toThrow('set REDIS_URL');
  expect(() => load({ KAFKA_SECURITY_PROTOCOL: 'SASL_SSL' })).toThrow('KAFKA_SASL_USERNAME');
  expect(() => load({ KAFKA_SSL_CERT_PATH: 'x' })).toThrow('belong together');
});

test('Kubernetes jobs have the settings of the older service, and names that cannot be are rejected', () => {
  expect(load().kubernetes).toEqual({
    ...{ enabled: false, namespace: 'soma-agent-hub', namespaces: [], queue: 'interactive' },
    ...{ image: 'python:3.11-slim', cpu: '500m', memory: '512Mi', timeoutSeconds: 300 },
    ...{ kubectl: 'kubectl', kubectlVariables: [] },
  });
  expect(load({ KUBERNETES_NAMESPACES: 'a,b-1' }).kubernetes.namespaces).toEqual(['a', 'b-1']);
  for (const [name, text] of Object.entries({
    ...{ VOLCANO_NAMESPACE: '-n', KUBERNETES_NAMESPACES: 'a,-b', VOLCANO_DEFAULT_QUEUE: 'A B' },
    ...{ VOLCANO_SESSION_IMAGE: '-i', VOLCANO_SESSION_CPU: '0', VOLCANO_SESSION_MEMORY: 'much', KUBECTL_ENV: 'A=b' },
  })) {
    expect(() => load({ [name]: text }), name).toThrow(name);
  }
});

test('kubectl sees of the environment what it needs and what is listed, and no setting of this service', () => {
  const environment = {
    ...{ PATH: '/bin', HOME: '/home/app', KUBECONFIG: '/etc/kube', KUBERNETES_SERVICE_HOST: '10.96.0.1' },
    ...{ KUBERNETES_SERVICE_PORT: '6443', AWS_PROFILE: 'jobs', AWS_REGION: 'eu-1', KUBECTL_ENV: 'AWS_PROFILE' },
    ...{ DATABASE_URL: 'postgres://db/x', SECRETS_KEY: 'x'.repeat(43), SECRET_TOKEN: 'secret' },
  };
  expect(load(environment).kubectlEnvironment).toEqual({
    ...{ PATH: '/bin', HOME: '/home/app', KUBECONFIG: '/etc/kube', KUBERNETES_SERVICE_HOST: '10.96.0.1' },
    ...{ KUBERNETES_SERVICE_PORT: '6443', AWS_PROFILE: 'jobs' },
  });
});

test('no two variables share a name', () => {
  const all = VARIABLE_NAMES.flatMap(namesOf);
  expect(new Set(all).size).toBe(all.length);
  for (const [place, setting] of Object.entries(outbound.adapterSettings)) {
    expect(setting.name).toBe(place);
    expect(VARIABLES).toHaveProperty(place);
  }
});

test('.env.template has every variable with its default, and nothing else', () => {
  expect(readFileSync(path.join(projectRoot(), '.env.template'), 'utf8')).toBe(envTemplate());
});

test('docs/configuration.md is what `npm run configuration-page` writes', () => {
  expect(readFileSync(path.join(projectRoot(), 'docs/configuration.md'), 'utf8')).toBe(configurationPage());
});

test('every line of .env.template can be uncommented without changing anything', () => {
  const before = load();
  write('.env', envTemplate().replace(/^# ([A-Z][A-Z_]*=)/gm, '$1'));
  const after = load();
  expect({ ...after, effective: undefined }).toEqual({ ...before, effective: undefined });
  expect(after.effective.settings['PORT']).toEqual({ value: 8000, source: '.env' });
});

test('weights and rates are lists of names, and what is none of them is refused with the form that it should have', () => {
  const environment = { TENANT_WEIGHTS: 'acme=4, other=0.5', LANE_RATE_LIMITS: 'http_request=10/1s,wait = 100 / 0.5s' };
  const config = loadConfig(environment, { cwd: '/nowhere' });
  expect([...config.tenantWeights]).toEqual([
    ['acme', 4],
    ['other', 0.5],
  ]);
  expect([...config.laneRateLimits]).toEqual([
    ['http_request', { max: 10, perMs: 1_000 }],
    ['wait', { max: 100, perMs: 500 }],
  ]);
  const services = loadConfig({ SERVICE_RATE_LIMITS: 'Doc-Store=5/1s,llm=100/60s' }, { cwd: '/nowhere' });
  expect([...services.serviceRateLimits]).toEqual([
    ['doc_store', { max: 5, perMs: 1_000 }],
    ['llm', { max: 100, perMs: 60_000 }],
  ]);
  expect([...config.serviceRateLimits]).toEqual([]);
  for (const wrong of ['acme', 'acme=0', '=4', 'acme=-1']) {
    expect(() => loadConfig({ TENANT_WEIGHTS: wrong }, { cwd: '/nowhere' })).toThrow(
      'TENANT_WEIGHTS must be name=weight',
    );
  }
  for (const wrong of ['wait=1', 'wait=0/1s', 'wait=1/0s', '=1/1s', 'wait=1/1m']) {
    expect(() => loadConfig({ LANE_RATE_LIMITS: wrong }, { cwd: '/nowhere' })).toThrow(
      'LANE_RATE_LIMITS must be name=',
    );
    expect(() => loadConfig({ SERVICE_RATE_LIMITS: wrong }, { cwd: '/nowhere' })).toThrow(
      'SERVICE_RATE_LIMITS must be name=',
    );
  }
});
