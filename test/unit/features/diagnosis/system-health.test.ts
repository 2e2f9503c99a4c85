/** How everything stands, put together from what each says, or does not say. */
import { beforeEach, expect, test } from 'vitest';
import type { EngineHealthReport } from '../../../../src/engine/health/engine-health.ts';
import type { Dependency } from '../../../../src/feature.ts';
import { createSystemHealth, type SystemHealth } from '../../../../src/features/diagnosis/check-system.ts';
import type { PeerView } from '../../../../src/features/peers/exchange.ts';
import type { Service, ServiceInstance } from '../../../../src/features/services/ports.ts';
import { asConfigured } from '../../../../src/features/services/registry.ts';
import { dependencyHealth } from '../../../../src/schemas/service-answers.ts';

const AT = new Date('2030-01-01T12:00:00.000Z');
const SEEN = AT.toISOString();
const caller = (tenantId: string) => ({ tenantId, userId: 'u', correlationId: undefined, traceId: 't' });
const lane = (name: string, depth: number, workers: number) => ({
  ...{ lane: name, depth, active: 1, delayed: 2, blocked: 0, oldestWaitingSeconds: null, workers },
});
const worker = (name: string, alive: boolean, seenAt = SEEN) => ({
  ...{ worker: name, alive, version: '1', lanes: ['wait'], activeTasks: 3, loopLagMs: 0 },
  ...{ startedAt: AT, seenAt: new Date(seenAt) },
});
function serviceAt(name: string, instances: Array<Partial<ServiceInstance>>): Service {
  const configured = asConfigured(name, `http://${name}`, undefined);
  const [first] = configured.instances;
  if (first === undefined) throw new Error('a configured service has an instance');
  return { ...configured, instances: instances.map((one) => ({ ...first, ...one })) };
}

let world: {
  database: () => Promise<unknown>;
  ping: () => Promise<boolean>;
  engine: () => Promise<EngineHealthReport>;
  services: (tenantId: string) => Promise<Service[]>;
  peers: () => Promise<PeerView[]>;
  dependencies: readonly Dependency[];
  now: number;
};
let asked: string[];
let health: SystemHealth;

beforeEach(() => {
  asked = [];
  world = {
    database: () => Promise.resolve(),
    ping: () => Promise.resolve(true),
    engine: () =>
      Promise.resolve({
        status: 'healthy',
        databaseConnected: true,
        queueConnected: true,
        active: 0,
        queued: 0,
        stuck: 0,
        lanes: [lane('wait', 5, 1)],
        workers: [worker('w-1', true)],
        sweep: null,
        problems: [],
        faults: [],
      }),
    services: () => Promise.resolve([]),
    peers: () => Promise.resolve([]),
    dependencies: [],
    now: 0,
  };
  health = createSystemHealth({
    database: () => {
      asked.push('database');
      return world.database();
    },
    queue: { name: 'redis', ping: () => world.ping() },
    dependencies: () => world.dependencies,
    engine: { report: () => world.engine() },
    registry: {
      list: ({ tenantId }) => {
        asked.push(tenantId);
        return world.services(tenantId);
      },
    },
    peers: { list: () => world.peers() },
    timeoutMs: 20,
    now: () => world.now,
  });
});

const STORES = {
  postgres: { kind: 'database', status: 'healthy', latency_ms: 0 },
  redis: { kind: 'queue', status: 'healthy', latency_ms: 0 },
};
const ENGINE = { kind: 'engine', status: 'healthy', latency_ms: 0 };
const WAIT = {
  ...{ kind: 'lane', status: 'healthy', latency_ms: null, depth: 5, active: 1, delayed: 2 },
  ...{ oldest_waiting_seconds: null, workers: 1 },
};
const W1 = { kind: 'worker', status: 'healthy', latency_ms: null, active_tasks: 3, seen_at: SEEN, version: '1' };

test('everything that answers is healthy: the stores, the engine, each lane with its depth, each worker', async () => {
  const report = await health.report(caller('a'));
  expect(report).toEqual({
    status: 'healthy',
    services: { ...STORES, engine: ENGINE, 'lane:wait': WAIT, 'worker:w-1': W1 },
  });
  for (const one of Object.values(report.services)) expect(dependencyHealth.parse(one)).toEqual(one);
});

test('what hangs is unhealthy after its time, and what fails at once, in words that name no host', async () => {
  world.ping = () => new Promise(() => undefined);
  world.engine = () => new Promise(() => undefined);
  world.services = () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.7:5432'));
  const late = { status: 'unhealthy', latency_ms: 0, detail: 'does not answer within 0.02 s' };
  expect(await health.report(caller('a'))).toEqual({
    status: 'degraded',
    services: {
      postgres: STORES.postgres,
      redis: { kind: 'queue', ...late },
      engine: { kind: 'engine', ...late },
      registry: { kind: 'registry', status: 'unhealthy', latency_ms: 0, detail: 'cannot be reached' },
    },
  });
});

test('a broker that a feature needs has its name, and one that is away leaves the service degraded', async () => {
  world.dependencies = [
    { name: 'kafka', kind: 'broker', ping: () => Promise.resolve() },
    { name: 'other', kind: 'broker', ping: () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.7:9092')) },
  ];
  expect(await health.report(caller('a'))).toMatchObject({
    status: 'degraded',
    services: {
      kafka: { kind: 'broker', status: 'healthy', latency_ms: 0 },
      other: { kind: 'broker', status: 'unhealthy', detail: 'cannot be reached' },
    },
  });
});

test('without the database nothing is healthy; without the queue runs are still accepted', async () => {
  world.ping = () => Promise.resolve(false);
  expect(await health.report(caller('a'))).toMatchObject({
    status: 'degraded',
    services: { redis: { status: 'unhealthy', detail: 'cannot be reached' } },
  });
  world.now = 5_000;
  world.database = () => Promise.reject(new Error('gone'));
  expect(await health.report(caller('a'))).toMatchObject({
    status: 'unhealthy',
    services: { postgres: { kind: 'database', status: 'unhealthy', detail: 'cannot be reached' } },
  });
});

test('a lane whose jobs nobody takes is unhealthy, and a worker that became unresponsive of late; one from long ago is gone', async () => {
  const report = await world.engine();
  const ago = (ms: number) => new Date(AT.getTime() - ms).toISOString();
  world.engine = () =>
    Promise.resolve({
      ...report,
      lanes: [lane('wait', 5, 0), lane('llm', 0, 0)],
      workers: [worker('w-1', true), worker('w-2', false, ago(60_000)), worker('w-3', false, ago(400_000))],
      problems: ['the sweep does not pass: never', '3 executions have not moved for 10 minutes'],
    });
  expect(await health.report(caller('a'))).toEqual({
    status: 'degraded',
    services: {
      ...STORES,
      engine: {
        ...ENGINE,
        status: 'unhealthy',
        detail: 'the sweep does not pass: never; 3 executions have not moved for 10 minutes',
      },
      'lane:wait': { ...WAIT, status: 'unhealthy', workers: 0, detail: 'no worker serves it' },
      'lane:llm': { ...WAIT, depth: 0, workers: 0 },
      'worker:w-1': W1,
      'worker:w-2': {
        ...W1,
        status: 'unhealthy',
        seen_at: ago(60_000),
        detail: `not heard of since ${ago(60_000)}`,
      },
    },
  });
});

test('services stand as their checks have found them, each tenant sees its own', async () => {
  const checked = { checkedAt: AT, latencyMs: 7 };
  const services: Record<string, Service[]> = {
    a: [
      serviceAt('good', [{ health: 'healthy', ...checked }]),
      serviceAt('bad', [{ health: 'unhealthy', ...checked, lastError: 'status 500' }]),
      serviceAt('half', [
        { health: 'healthy', ...checked },
        { health: 'unhealthy', ...checked, lastError: 'no answer within 2 s' },
      ]),
      serviceAt('gone', [{ expired: true }]),
      serviceAt('never', [{}]),
    ],
    b: [],
  };
  world.services = (tenantId) => Promise.resolve(services[tenantId] ?? []);
  const { status, services: found } = await health.report(caller('a'));
  const of = (name: string, more: object) => ({ kind: 'service', url: `http://${name}`, ...more });
  const at = { latency_ms: 7, checked_at: SEEN };
  expect(status).toBe('degraded');
  expect(Object.fromEntries(Object.entries(found).filter(([name]) => name.startsWith('service:')))).toEqual({
    'service:good': of('good', { status: 'healthy', ...at }),
    'service:bad': of('bad', { status: 'unhealthy', detail: 'status 500', ...at }),
    'service:half': of('half', { status: 'unhealthy', detail: 'no answer within 2 s', ...at }),
    'service:gone': of('gone', { status: 'unhealthy', latency_ms: null, detail: 'no heartbeat in time' }),
    'service:never': of('never', { status: 'unknown', latency_ms: null }),
  });
  const other = await health.report(caller('b'));
  expect(other.status).toBe('healthy');
  expect(Object.keys(other.services).filter((name) => name.startsWith('service:'))).toEqual([]);
});

test('peers stand as they were last found: seen, failing, or not yet talked to', async () => {
  const seen = { status: 'up', lastSeenAt: AT, latencyMs: 4, lastError: null };
  const peer = (url: string, more: Partial<PeerView>) => ({ url, ...seen, ...more }) as PeerView; // What is read of it.
  world.peers = () =>
    Promise.resolve([
      peer('http://me:word@a:1', {}),
      peer('http://b:1', { status: 'down', lastError: 'status 500' }),
      peer('http://c:1', { status: 'unknown', lastSeenAt: null, latencyMs: null }),
    ]);
  const { status, services } = await health.report(caller('a'));
  expect(status).toBe('degraded');
  expect(Object.fromEntries(Object.entries(services).filter(([, { kind }]) => kind === 'peer'))).toEqual({
    'peer:http://a:1/': { kind: 'peer', status: 'healthy', latency_ms: 4, url: 'http://a:1/', seen_at: SEEN },
    'peer:http://b:1': {
      ...{ kind: 'peer', status: 'unhealthy', latency_ms: 4, url: 'http://b:1', seen_at: SEEN },
      detail: 'status 500',
    },
    'peer:http://c:1': { kind: 'peer', status: 'unknown', latency_ms: null, url: 'http://c:1' },
  });
});

test('a report is cached for a second, and while one is being made everybody waits for that one', async () => {
  const answers: Array<() => void> = [];
  world.database = () => new Promise<void>((resolve) => void answers.push(resolve));
  const first = [health.report(caller('a')), health.report(caller('a')), health.report(caller('b'))];
  world.now = 10_000;
  first.push(health.report(caller('a')));
  for (const answer of answers) answer();
  await Promise.all(first);
  expect(asked).toEqual(['database', 'a', 'b']);
  world.now = 11_000;
  await health.report(caller('a'));
  expect(asked).toEqual(['database', 'a', 'b']);
  world.now = 11_001;
  world.database = () => Promise.resolve();
  await health.report(caller('a'));
  expect(asked).toEqual(['database', 'a', 'b', 'database', 'a']);
});
