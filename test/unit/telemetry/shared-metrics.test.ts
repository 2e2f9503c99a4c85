import { beforeEach, expect, test } from 'vitest';
import { exposition } from '../../../src/telemetry/exposition.ts';
import {
  createSharedMetrics,
  MAX_TASKS,
  NEW_TASKS,
  type Sample,
  type SharedMetrics,
  taskKey,
} from '../../../src/telemetry/shared-metrics.ts';

let rows: Map<string, Sample>;
let away: boolean;
let now: number;

/** The table, as its statement adds to it. */
const totals = {
  async add(samples: readonly Sample[]) {
    if (away) throw new Error('away');
    for (const sample of samples) {
      const key = `${sample.name}${sample.labels}`;
      const { value } = rows.get(key) ?? { value: 0 };
      rows.set(key, { ...sample, value: value + sample.value });
    }
  },
  countRuns: () => Promise.resolve([]),
  async retriedTasks() {
    const retried = [...rows.values()].filter(({ name }) => name === 'orchestrator_retry_attempts_total');
    const labels = retried.map((row) => JSON.parse(row.labels) as { task_id: string; handler: string });
    return new Set(labels.map(({ task_id, handler }) => taskKey(task_id, handler)));
  },
  async read() {
    if (away) throw new Error('away');
    return { samples: [...rows.values()], activeRuns: 2, activeTasks: 7 };
  },
};

beforeEach(() => {
  rows = new Map();
  away = false;
  now = 0;
});

const process = (): SharedMetrics => createSharedMetrics({ totals, now: () => now });
async function lines(shared: SharedMetrics, name: string): Promise<string[]> {
  const text = exposition(await shared.families(), 'text');
  return text.split('\n').filter((line) => line.startsWith(name));
}

test('each process shows what all have counted, each count once, whether it has been added already or not', async () => {
  const [worker, api] = [process(), process()];
  for (let count = 0; count < 3; count += 1) worker.taskEnded('completed');
  worker.taskEnded('failed');
  worker.attemptEnded('wait', 0.3);
  const told = [
    'orchestrator_tasks_completed_total{status="task_done",service="orchestrator"} 3',
    'orchestrator_tasks_completed_total{status="task_failed",service="orchestrator"} 1',
  ];
  expect(await lines(worker, 'orchestrator_tasks_completed_total')).toEqual(told);
  await worker.flush();
  await worker.flush();
  expect(await lines(worker, 'orchestrator_tasks_completed_total')).toEqual(told);
  expect((await lines(api, 'orchestrator_tasks_completed_total')).map(ordered).sort()).toEqual(told.map(ordered));
  worker.taskEnded('completed');
  api.taskEnded('completed');
  await api.flush();
  expect(await lines(worker, 'orchestrator_tasks_completed_total{status="task_done"')).toEqual([
    'orchestrator_tasks_completed_total{status="task_done",service="orchestrator"} 4',
  ]);
  now += 1_001;
  expect(await lines(worker, 'orchestrator_tasks_completed_total{status="task_done"')).toEqual([
    'orchestrator_tasks_completed_total{status="task_done",service="orchestrator"} 5',
  ]);
});

test('a histogram of another process has all of its buckets', async () => {
  const [worker, api] = [process(), process()];
  worker.attemptEnded('wait', 0.3);
  worker.attemptEnded('wait', 20);
  await worker.flush();
  const own = await lines(worker, 'orchestrator_task_execution_seconds_');
  expect(own).toHaveLength(17);
  expect((await lines(api, 'orchestrator_task_execution_seconds_')).map(ordered).sort()).toEqual(
    own.map(ordered).sort(),
  );
  expect(own.map(ordered)).toEqual(
    expect.arrayContaining([
      'orchestrator_task_execution_seconds_bucket handler="wait" le="0.25" service="orchestrator" 0',
      'orchestrator_task_execution_seconds_bucket handler="wait" le="0.5" service="orchestrator" 1',
      'orchestrator_task_execution_seconds_bucket handler="wait" le="30" service="orchestrator" 2',
      'orchestrator_task_execution_seconds_count handler="wait" service="orchestrator" 2',
      'orchestrator_task_execution_seconds_sum handler="wait" service="orchestrator" 20.3',
    ]),
  );
});

test('every name is there before anything has been counted', async () => {
  const names = (await process().families()).map(({ name }) => name);
  expect(names.sort()).toEqual([
    'http_request_duration_seconds',
    'http_requests_total',
    'orchestrator_active_runs',
    'orchestrator_active_tasks',
    'orchestrator_flow_runs_processed_total',
    'orchestrator_forwarded_for_untrusted_total',
    'orchestrator_retry_attempts_total',
    'orchestrator_run_execution_seconds',
    'orchestrator_runs_ended_total',
    'orchestrator_task_execution_seconds',
    'orchestrator_tasks_completed_total',
    'orchestrator_tasks_scheduled_total',
  ]);
  const shared = process();
  expect(await lines(shared, 'orchestrator_active_')).toEqual([
    'orchestrator_active_runs{service="orchestrator"} 2',
    'orchestrator_active_tasks{service="orchestrator"} 7',
  ]);
});

test('what cannot be added is added the next time, and meanwhile the last totals are shown', async () => {
  const worker = process();
  worker.taskDelivered();
  await worker.families();
  away = true;
  await expect(worker.flush()).rejects.toThrow('away');
  expect(await lines(worker, 'orchestrator_tasks_scheduled_total')).toEqual([
    'orchestrator_tasks_scheduled_total{service="orchestrator"} 1',
  ]);
  away = false;
  worker.taskDelivered();
  await worker.flush();
  expect([...rows.values()].filter(({ name }) => name.includes('scheduled'))).toEqual([
    { name: 'orchestrator_tasks_scheduled_total', labels: '{"service":"orchestrator"}', value: 2 },
  ]);
});

test('a counter does not fall while it is being added to the totals', async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow = { ...totals, add: (samples: readonly Sample[]) => held.then(() => totals.add(samples)) };
  const worker = createSharedMetrics({ totals: slow, now: () => now });
  worker.taskDelivered();
  const one = ['orchestrator_tasks_scheduled_total{service="orchestrator"} 1'];
  expect(await lines(worker, 'orchestrator_tasks_scheduled_total')).toEqual(one);
  const flushed = worker.flush();
  await new Promise((resolve) => setImmediate(resolve));
  now += 2_000;
  expect(await lines(worker, 'orchestrator_tasks_scheduled_total')).toEqual(one);
  release();
  await flushed;
  expect(await lines(worker, 'orchestrator_tasks_scheduled_total')).toEqual(one);
});

test('tasks of very many names are counted as others, by all processes together', async () => {
  const processes = [process(), process(), process()];
  for (let round = 0; round < 8; round += 1) {
    for (const [index, one] of processes.entries()) {
      for (let number = 0; number < 400; number += 1) one.taskRetried(`a-${index}-${round}-${number}`, 'wait');
      await one.flush();
    }
  }
  now += 2_000;
  for (const one of [...processes, process()]) {
    const found = await lines(one, 'orchestrator_retry_attempts_total');
    expect(found.length).toBeGreaterThan(MAX_TASKS / 2);
    expect(found.length).toBeLessThanOrEqual(MAX_TASKS + processes.length * NEW_TASKS + 1);
    const retries = found.map((line) => Number(line.split(' ').at(-1)));
    expect(retries.reduce((sum, count) => sum + count)).toBe(8 * 3 * 400);
    expect(found.some((line) => line.includes('task_id="other"'))).toBe(true);
  }
});

/** Labels in one order. */
function ordered(line: string): string {
  const [, name = '', labels = '', value = ''] = /^(\w+)\{(.*)\} (.*)$/.exec(line) ?? [];
  return [name, ...labels.split(',').sort(), value].join(' ');
}

test('while the database takes its time the last totals are shown', async () => {
  let slow = false;
  const read = () => (slow ? new Promise<never>(() => undefined) : totals.read());
  const shared = createSharedMetrics({ totals: { ...totals, read }, now: () => now });
  shared.taskEnded('completed');
  const one = ['orchestrator_tasks_completed_total{status="task_done",service="orchestrator"} 1'];
  expect(await lines(shared, 'orchestrator_tasks_completed_total{')).toEqual(one);
  slow = true;
  now += 2_000;
  expect(await lines(shared, 'orchestrator_tasks_completed_total{')).toEqual(one);
});

test('until the totals have been read once none of them is shown: they would fall, and then jump', async () => {
  const older = process();
  for (let count = 0; count < 5; count += 1) older.taskDelivered();
  await older.flush();
  away = true;
  const begun = process();
  begun.taskDelivered();
  expect(await lines(begun, 'orchestrator_tasks_scheduled_total')).toEqual([]);
  away = false;
  expect(await lines(begun, 'orchestrator_tasks_scheduled_total')).toEqual([
    'orchestrator_tasks_scheduled_total{service="orchestrator"} 6',
  ]);
});
