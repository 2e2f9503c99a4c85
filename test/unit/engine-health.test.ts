import { expect, test } from 'vitest';
import { createEngineHealth, type EngineFacts } from '../../src/engine/engine-health.ts';
import type { SweepHealth, WorkerHealth } from '../../src/schemas/engine-health.ts';

const WHEN = '2030-01-01T00:00:00.000Z';
const worker = (more: Partial<WorkerHealth> = {}): WorkerHealth => ({
  worker: 'w',
  alive: true,
  version: '1',
  lanes: ['a'],
  active_tasks: 0,
  event_loop_lag_ms: 0,
  started_at: WHEN,
  seen_at: WHEN,
  ...more,
});
const sweep = (ageSeconds: number): SweepHealth => ({
  worker: 'w',
  last_pass_at: WHEN,
  age_seconds: ageSeconds,
  duration_ms: 1,
  lag_seconds: 0,
  dispatched: 0,
  checked: 0,
  repaired: 0,
  dispatched_total: 0,
  repaired_total: 0,
  last_repair_at: null,
});
const lane = (name: string, depth: number) => ({
  lane: name,
  depth,
  active: 0,
  delayed: 0,
  blocked: 0,
  oldest_waiting_seconds: null,
});
const WELL: EngineFacts = { active: 1, queued: 2, stuck: 0, workers: [worker()], sweep: sweep(1) };

function healthOf(
  facts: EngineFacts | undefined,
  lanes: ReturnType<typeof lane>[] | undefined,
  clock = { now: 0 },
  use?: number,
) {
  let asked = 0;
  const health = createEngineHealth({
    store: {
      facts: () => {
        asked += 1;
        return facts === undefined ? Promise.reject(new Error('away')) : Promise.resolve(facts);
      },
    },
    queue: { depths: () => (lanes === undefined ? Promise.reject(new Error('away')) : Promise.resolve(lanes)) },
    queueUse: () => use,
    now: () => clock.now,
  });
  return { report: () => health.report(), asked: () => asked };
}

test('an engine in which all is well has no problems, and its lanes know who serves them', async () => {
  const workers = [worker(), worker({ worker: 'gone', alive: false, lanes: ['a', 'b'] })];
  const { report } = healthOf({ ...WELL, workers }, [lane('a', 3), lane('b', 0)]);
  expect(await report()).toMatchObject({
    status: 'healthy',
    active_executions: 1,
    queued_executions: 2,
    problems: [],
    lanes: [
      { lane: 'a', depth: 3, workers: 1 },
      { lane: 'b', depth: 0, workers: 0 },
    ],
  });
});

test.each([
  ['no worker', { ...WELL, workers: [worker({ alive: false })] }, [], 'no worker is alive'],
  ['a sweep that is late', { ...WELL, sweep: sweep(31) }, [], 'the sweep does not pass: last 31 s ago'],
  ['a sweep that never was', { ...WELL, sweep: null }, [], 'the sweep does not pass: never'],
  ['a lane that nobody serves', WELL, [lane('b', 2)], "nobody serves the lane 'b': 2 jobs wait"],
  ['runs that do not move', { ...WELL, stuck: 4 }, [], '4 executions have not moved for 10 minutes'],
  ['a queue that is away', WELL, undefined, 'the queue cannot be reached'],
])('%s is named', async (_, facts, lanes, problem) => {
  expect(await healthOf(facts, lanes).report()).toMatchObject({ status: 'degraded', problems: [problem] });
});

test('without the database nothing is known', async () => {
  expect(await healthOf(undefined, []).report()).toMatchObject({
    status: 'unhealthy',
    database_connected: false,
    problems: ['the database cannot be reached'],
  });
});

test('however many ask, the stores are asked once a second', async () => {
  const clock = { now: 0 };
  const { report, asked } = healthOf(WELL, [], clock);
  await Promise.all([report(), report(), report()]);
  expect(asked()).toBe(1);
  clock.now = 1_001;
  await report();
  expect(asked()).toBe(2);
});

test('a queue that is nearly full is said, because nothing is added to it', async () => {
  const { report } = healthOf(WELL, [lane('a', 0)], { now: 0 }, 0.934);
  expect(await report()).toMatchObject({
    status: 'degraded',
    problems: ['the queue uses 93 % of its memory: nothing is added to it'],
  });
});
