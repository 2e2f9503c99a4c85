/** What the service says of itself while it works: system health, metrics, configuration, over the whole stack. */
import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { effectiveConfig } from '../../src/schemas/effective-config.ts';
import { metricsAnswer, systemHealth } from '../../src/schemas/service-answers.ts';
import { accepted, type Client } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { parseExposition } from '../support/parse-exposition.ts';

const ANOTHER = { 'x-tenant-id': 'another' };

// The queue is asked by its own port, which has tests on both.
const [onOne] = onBothBackends({
  environment: {
    DOC_STORE_URL: 'http://doc-store:5010',
    API_URL: 'http://user:hunter2@api:1/?token=hunter3',
    ORCHESTRATOR_RETRY_BACKOFF_BASE: '3',
  },
});

describe.each([onOne].flatMap((one) => one ?? []))('the service on $backend', ({ backend, test }) => {
  test('each store, lane, worker and service is in the health of the system, those of other tenants are not', async ({
    api,
  }) => {
    const read = async (headers = {}) =>
      systemHealth.parse(accepted(await api.get('/health/system', headers), 200).body);
    await until(async () => (await read()).status === 'healthy', { what: 'the system is healthy' });
    await api.post('/registry/register', { name: 'mine', base_url: 'http://mine:1' });
    await until(async () => Object.hasOwn((await read()).services, 'service:mine'), { what: 'the service is there' });
    const health = await read();
    const store = { status: 'healthy', latency_ms: expect.any(Number) };
    const queue = backend === 'redis' ? 'redis' : 'queue';
    const lanes = Object.keys(health.services).filter((name) => name.startsWith('lane:'));
    const workers = Object.keys(health.services).filter((name) => name.startsWith('worker:'));
    expect(workers).toHaveLength(1);
    expect(lanes).toEqual(expect.arrayContaining(['lane:test_task', 'lane:transform', 'lane:runs']));
    expect(health).toEqual({
      status: 'healthy',
      overall_healthy: true,
      services: {
        postgres: { kind: 'database', ...store },
        [queue]: { kind: 'queue', ...store },
        engine: { kind: 'engine', ...store },
        ...Object.fromEntries(
          lanes.map((name) => [
            name,
            {
              ...{ kind: 'lane', status: 'healthy', latency_ms: null, depth: 0, active: 0, delayed: 0 },
              ...{ oldest_waiting_seconds: null, workers: 1 },
            },
          ]),
        ),
        [workers[0] ?? '']: {
          ...{ kind: 'worker', status: 'healthy', latency_ms: null, active_tasks: 0 },
          ...{ seen_at: expect.any(String), version: expect.any(String) },
        },
        'service:api': { kind: 'service', status: 'unknown', latency_ms: null, url: expect.any(String) },
        'service:doc_store': { kind: 'service', status: 'unknown', latency_ms: null, url: 'http://doc-store:5010' },
        'service:mine': { kind: 'service', status: 'unknown', latency_ms: null, url: 'http://mine:1' },
      },
      problems: [],
      services_checked: 4 + lanes.length,
      healthy_services: 4 + lanes.length,
      unhealthy_services: 0,
      uptime: expect.any(Number),
      timestamp: expect.any(String),
    });
    expect(JSON.stringify(health)).not.toMatch(/hunter/);
    expect(Object.keys((await read(ANOTHER)).services)).not.toContain('service:mine');
  });

  test('metrics are the same whole at the API and at a worker: executions, tasks, retries, requests', async ({
    api,
    stack,
  }) => {
    const worker = await stack.add('worker');
    const flow = await api.createWorkflow({
      name: 'counted',
      actions: [
        { action_id: 'a', action_type: 'test_task' },
        {
          action_id: 'b',
          action_type: 'test_task',
          config: { fail_with: 'no' },
          retry: { max_attempts: 2, initial_delay_seconds: 0.01 },
        },
      ],
    });
    for (let count = 0; count < 2; count += 1) await api.finished(await api.execute(flow));
    const texts = async () =>
      Promise.all([
        api.get('/metrics').then(({ text }) => text),
        fetch(`http://127.0.0.1:${worker.port}/metrics`).then((answer) => answer.text()),
      ]);
    const expected = [
      'orchestrator_flow_runs_processed_total 2',
      'orchestrator_run_execution_seconds_bucket le="+Inf" 2',
      'orchestrator_run_execution_seconds_count 2',
      'orchestrator_runs_ended_total cause="work" status="failed" 2',
      'orchestrator_tasks_completed_total status="task_done" 2',
      'orchestrator_tasks_completed_total status="task_failed" 2',
      'orchestrator_task_execution_seconds_count handler="test_task" 6',
      'orchestrator_retry_attempts_total handler="test_task" task_id="b" 2',
      'orchestrator_active_runs 0',
      'http_requests_total endpoint="/workflows/{workflow_id}/execute" method="POST" status="202" 2',
    ];
    await until(async () => (await texts()).every((text) => expected.every((line) => plain(text).includes(line))), {
      what: 'both doors tell all of it',
    }).catch(async (error: unknown) => {
      const missing = (await texts()).map((text) => expected.filter((line) => !plain(text).includes(line)));
      throw new Error(`missing at the API and at the worker: ${JSON.stringify(missing)}`, { cause: error });
    });
    for (const text of await texts()) expect(text).toMatch(/^orchestrator_dead_letter_queue_size\{[^}]*\} 2$/m);
    const accept = { accept: 'application/openmetrics-text' };
    const doors = [
      { process: 'api', text: (await api.get('/metrics', accept)).text },
      {
        process: 'worker',
        text: await (await fetch(`http://127.0.0.1:${worker.port}/metrics`, { headers: accept })).text(),
      },
    ];
    for (const { process, text } of doors) {
      const names = [...parseExposition(text, 'openmetrics').values()].map(({ name, type }) =>
        type === 'counter' ? `${name}_total` : name,
      );
      const ours = names.filter((name) => /^(?:orchestrator|http)_/.test(name));
      expect(ours.sort(), process).toEqual(documentedMetrics(process));
    }
    // Requests are pointed at where they were counted.
    expect(doors[0]?.text).toMatch(/^http_request_duration_seconds_bucket.* # \{trace_id="[0-9a-f]{32}"\}/m);
  });

  test('metrics come as JSON, and the configuration with its sources', async ({ api, stack }) => {
    const metrics = await get(api, '/metrics', { accept: 'application/json' });
    expect(metricsAnswer.parse(metrics).metrics.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['orchestrator_accepts_in_hand', 'orchestrator_dead_letter_queue_size']),
    );
    const shown = effectiveConfig.parse(await get(api, '/config/effective'));
    expect(shown.settings).toMatchObject({
      RETRY_BACKOFF_BASE: { value: 3, source: 'environment', found_as: 'ORCHESTRATOR_RETRY_BACKOFF_BASE' },
      PORT: { value: 0, source: 'environment' },
      MAX_RETRY_ATTEMPTS: { value: 3, source: 'default' },
      QUEUE_PREFIX: { value: stack.queuePrefix, source: 'environment' },
    });
    expect(shown.services).toMatchObject({
      api: { url: 'http://api:1/?***', source: 'environment', found_as: 'API_URL' },
      doc_store: { url: 'http://doc-store:5010', source: 'environment', found_as: 'DOC_STORE_URL' },
    });
    const password = new URL(stack.databaseUrl).password;
    expect(JSON.stringify(shown)).not.toContain('hunter');
    if (password.length > 3) expect(JSON.stringify(shown)).not.toContain(`:${password}@`);
  });
});

/** Each line with its labels in order, without the one that all have. */
function plain(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const own = [...labels.matchAll(/\w+="[^"]*"/g)]
      .map(([label]) => label)
      .filter((label) => label !== 'service="orchestrator"');
    return [[name, ...own.sort(), value].join(' ')];
  });
}

async function get(api: Client, path: string, headers: Record<string, string> = {}): Promise<unknown> {
  return accepted(await api.get(path, headers), 200).body;
}

/** Of the table in docs/metrics.md, what a process tells. */
function documentedMetrics(process: string): string[] {
  const rows = [...readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(\w+)` \| \w+ \| [^|]*\| ([\w ]+) \|/gm)];
  const told = rows.filter(
    // Spans are counted where they are exported, and here they are not.
    ([, name, where = '']) => name !== 'orchestrator_spans_total' && ['all together', 'each', process].includes(where),
  );
  return told.map(([, name = '']) => name).sort();
}
