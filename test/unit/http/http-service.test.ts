/** What the service says of itself, over HTTP. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { operationsOf } from '../../../src/compose/features.ts';
import { createIdentify } from '../../../src/http/auth/identify.ts';
import { sendMetrics } from '../../../src/http/server/metrics.ts';
import { createWorkerHealth } from '../../../src/http/server/worker-health.ts';
import { type Door, openDoor } from '../../support/http-app.ts';

const API_OPERATIONS = await operationsOf();

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function open(...given: Parameters<typeof openDoor>): Promise<Door> {
  const door = await openDoor(...given);
  closing.push(() => door.close());
  return door;
}

function registry(): Registry {
  const made = new Registry();
  made.setDefaultLabels({ service: 'orchestrator' });
  const counter = new Counter({ name: 'calls_total', help: 'Calls', labelNames: ['status'], registers: [made] });
  counter.inc({ status: 'ok' }, 3);
  return made;
}

const TEXT =
  '# HELP calls_total Calls\n# TYPE calls_total counter\ncalls_total{status="ok",service="orchestrator"} 3\n';
const JSON_BODY = {
  metrics: [
    {
      name: 'calls_total',
      help: 'Calls',
      type: 'counter',
      aggregator: 'sum',
      values: [{ value: 3, labels: { status: 'ok', service: 'orchestrator' } }],
    },
  ],
};

test('metrics are text for Prometheus and JSON for who accepts only that, on the API as on a worker', async () => {
  const door = await open({}, { metrics: registry() });
  const worker = createWorkerHealth({
    registry: registry(),
    identify: createIdentify({ required: false, apiKeys: [] }),
    state: () => ({ worker: 'w', lanes: ['wait'], draining: false, unresponsive: false, problems: [] }),
  });
  const port = await worker.listen(0, '127.0.0.1');
  closing.push(() => worker.close());
  for (const base of [door.url, `http://127.0.0.1:${port}`]) {
    const plain = await fetch(`${base}/metrics`);
    expect(plain.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await plain.text()).toBe(TEXT);
    const json = await fetch(`${base}/metrics/`, { headers: { accept: 'application/json' } });
    expect(json.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await json.json()).toEqual(JSON_BODY);
  }
});

test.each([
  ['text/plain;version=0.0.4, application/openmetrics-text;q=0.5', /^text\/plain/],
  ['application/openmetrics-text;q=0', /^text\/plain/],
  [
    'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    /^application\/openmetrics-text/,
  ],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', /^text\/plain/],
  ['*/*', /^text\/plain/],
  ['application/json, text/plain, */*', /^text\/plain/],
  ['application/json;q=0.9, text/plain;q=0.5', /^application\/json/],
  ['Application/JSON', /^application\/json/],
  ['application/json;q=0', /^text\/plain/],
])('Accept: %s gives %s', async (accept, type) => {
  const made = registry();
  const server = createServer((request, response) => void sendMetrics(made, request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo; // It listens on a port.
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { accept } });
  expect(answer.headers.get('content-type')).toMatch(type);
  expect(answer.headers.get('vary')).toBe('Accept');
  await answer.text();
});

test('with METRICS_ENABLED=false neither the API nor a worker serves metrics', async () => {
  const door = await open({}, { metrics: undefined });
  const answer = await door.fetch('/metrics');
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({ code: 'not_found', detail: 'METRICS_ENABLED is false' });
  const worker = createWorkerHealth({
    registry: undefined,
    identify: createIdentify({ required: false, apiKeys: [] }),
    state: () => ({ worker: 'w', lanes: [], draining: false, unresponsive: false, problems: [] }),
  });
  const port = await worker.listen(0, '127.0.0.1');
  closing.push(() => worker.close());
  expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(404);
  expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
});

test.each([
  [{ draining: false, unresponsive: false, problems: [] }, 200, 'healthy', 'ready'],
  [{ draining: false, unresponsive: false, problems: ['queue_unreachable'] }, 200, 'degraded', 'ready'],
  [{ draining: true, unresponsive: false, problems: [] }, 503, 'draining', 'draining'],
  [{ draining: false, unresponsive: true, problems: [] }, 503, 'deaf', 'deaf'],
])(
  'a worker in the state %j answers its probes without credentials, and is alive in any state',
  async (state, status, health, ready) => {
    const worker = createWorkerHealth({
      registry: registry(),
      identify: createIdentify({ required: true, apiKeys: ['key-1'] }),
      state: () => ({ worker: 'w', lanes: ['wait'], ...state }),
    });
    const port = await worker.listen(0, '127.0.0.1');
    closing.push(() => worker.close());
    const read = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    for (const path of ['/livez', '/healthz', '/livez/']) {
      expect(await read(path)).toMatchObject({ status: 200, body: { status: 'alive', service: 'orchestrator' } });
    }
    for (const path of ['/ready', '/readyz?verbose=1']) {
      expect(await read(path)).toMatchObject({ status, body: { ready: status === 200, status: ready, worker: 'w' } });
    }
    const { lanes, problems } = { lanes: ['wait'], problems: state.problems };
    expect(await read('/health')).toMatchObject({ status, body: { status: health, worker: 'w', lanes, problems } });
  },
);

test('the effective configuration is shown as it was made at start, and with keys configured to their holders only', async () => {
  const effectiveConfig = {
    settings: { PORT: { value: 5099, source: 'environment', found_as: 'FASTAPI_PORT' } },
    services: { doc_store: { url: 'http://doc-store:5087', source: '.env', found_as: 'DOC_STORE_URL' } },
    secrets: { TOKEN: { source: '/run/secrets' } },
    without_effect: { TEMPORAL_HOST: 'Why.' },
  };
  const door = await open({ apiKeys: ['key-1'] }, { effectiveConfig });
  const refused = await door.fetch('/config/effective');
  expect(refused.status).toBe(401);
  expect(JSON.stringify(await refused.json())).not.toContain('5099');
  const answer = await door.fetch('/config/effective/', { headers: { 'x-api-key': 'key-1' } });
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual(effectiveConfig);
});

const TIMESTAMP = '2030-01-01T12:00:00.000Z';

test('the health of the system counts what is healthy and what is not, and leaves out what is unknown', async () => {
  const services = {
    postgres: { kind: 'database' as const, status: 'healthy' as const, latency_ms: 1 },
    'service:a': { kind: 'service' as const, status: 'unhealthy' as const, latency_ms: null, detail: 'status 500' },
    'service:b': { kind: 'service' as const, status: 'unknown' as const, latency_ms: null },
  };
  const askedBy: string[] = [];
  const report = (status: 'healthy' | 'degraded' | 'unhealthy') => ({
    systemHealth: {
      report({ tenantId }: { tenantId: string }) {
        askedBy.push(tenantId);
        return Promise.resolve({ status, services });
      },
    },
  });
  const body = {
    overall_healthy: false,
    services,
    problems: [
      {
        code: 'dependency_unhealthy',
        message: 'service:a is unhealthy: status 500.',
        what_to_do: expect.any(String),
      },
    ],
    services_checked: 2,
    healthy_services: 1,
    unhealthy_services: 1,
    uptime: 0,
    timestamp: TIMESTAMP,
  };
  const degraded = await open({}, report('degraded'));
  const answer = await degraded.fetch('/health/system', { headers: { 'x-tenant-id': 'acme' } });
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ status: 'degraded', ...body });
  expect(askedBy).toEqual(['acme']);
  const unhealthy = await open({}, report('unhealthy'));
  const down = await unhealthy.fetch('/health/system/');
  expect(down.status).toBe(503);
  expect(await down.json()).toEqual({ status: 'unhealthy', ...body });
  const healthy = await open({ apiKeys: ['k'] }, report('healthy'));
  expect((await healthy.fetch('/health/system')).status).toBe(401);
  const known = await healthy.fetch('/health/system', { headers: { authorization: 'Bearer k' } });
  expect(await known.json()).toEqual({ status: 'healthy', ...body, overall_healthy: true });
});

test('information says what the service can do and how many operations it has', async () => {
  const door = await open();
  const answer = await door.fetch('/info');
  const body = (await answer.json()) as { capabilities: string[] };
  expect(body).toEqual({
    service: 'orchestrator',
    version: '9.9.9',
    description: 'A durable workflow orchestrator on BullMQ and PostgreSQL',
    capabilities: expect.arrayContaining(['tasks', 'workflows', 'schedules']),
    routes_count: API_OPERATIONS.length,
    uptime_seconds: 0,
  });
  expect(new Set(body.capabilities).size).toBe(body.capabilities.length);
});

test.each(['/ready', '/readyz', '/ready/'])(
  '%s says whether requests can be taken, and what was looked at',
  async (path) => {
    const door = await open({ apiKeys: ['k'] });
    const ready = await door.fetch(path);
    expect(ready.status).toBe(200);
    const checks = { database: 'connected', redis: 'connected' };
    expect(await ready.json()).toEqual({ ready: true, status: 'ready', service: 'orchestrator', checks });
    door.health = { database: true, redis: false };
    const degraded = await door.fetch(path);
    expect(degraded.status).toBe(200);
    expect(await degraded.json()).toMatchObject({ ready: true, checks: { redis: 'disconnected' } });
    door.health = { database: false, redis: null };
    const starting = await door.fetch(path);
    expect(starting.status).toBe(503);
    expect(await starting.json()).toEqual({
      ready: false,
      status: 'starting',
      service: 'orchestrator',
      checks: { database: 'disconnected', redis: 'not_configured' },
    });
  },
);

test.each(['/livez', '/healthz'])('%s calls no store', async (path) => {
  const door = await open({}, { health: { check: () => Promise.reject(new Error('asked')) } });
  const answer = await door.fetch(path);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ status: 'alive', service: 'orchestrator', timestamp: TIMESTAMP });
});
