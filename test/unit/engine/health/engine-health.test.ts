import { expect, test } from 'vitest';
import type { QueueUse } from '../../../../src/domain/fairness/queue-room.ts';
import type { Fault } from '../../../../src/domain/health/system-faults.ts';
import {
  createEngineHealth,
  type EngineFacts,
  type SweepHealth,
  type WorkerHealth,
} from '../../../../src/engine/health/engine-health.ts';

const WHEN = new Date('2030-01-01T00:00:00.000Z');
const worker = (more: Partial<WorkerHealth> = {}): WorkerHealth => ({
  worker: 'w',
  alive: true,
  version: '1',
  lanes: ['a'],
  activeTasks: 0,
  loopLagMs: 0,
  startedAt: WHEN,
  seenAt: WHEN,
  ...more,
});
const sweep = (ageSeconds: number): SweepHealth => ({
  worker: 'w',
  lastPassAt: WHEN,
  ageSeconds: ageSeconds,
  durationMs: 1,
  lagSeconds: 0,
  dispatched: 0,
  checked: 0,
  repaired: 0,
  dispatchedTotal: 0,
  repairedTotal: 0,
  lastRepairAt: null,
});
const lane = (name: string, depth: number) => ({
  lane: name,
  depth,
  active: 0,
  delayed: 0,
  blocked: 0,
  oldestWaitingSeconds: null,
});
const WELL: EngineFacts = { active: 1, queued: 2, stuck: 0, workers: [worker()], sweep: sweep(1), faults: [] };

const REJECTED = new Error('relation "run" does not exist');
const fault = (more: Partial<Fault> = {}): Fault => ({
  kind: 'statement',
  source: 'commit-outcomes',
  class: '42P01',
  message: 'relation "task" does not exist',
  firstAt: 1_000,
  lastAt: 2_000,
  count: 2,
  ...more,
});

function healthOf(
  facts: EngineFacts | undefined,
  lanes: ReturnType<typeof lane>[] | undefined,
  clock = { now: 0 },
  use?: QueueUse,
  faults: Fault[] = [],
  error = new Error('away'),
) {
  let calls = 0;
  const health = createEngineHealth({
    store: {
      facts: () => {
        calls += 1;
        return facts === undefined ? Promise.reject(error) : Promise.resolve(facts);
      },
    },
    queue: { depths: () => (lanes === undefined ? Promise.reject(new Error('away')) : Promise.resolve(lanes)) },
    queueUse: () => use,
    faults: () => faults,
    isRejected: (thrown) => thrown === REJECTED,
    now: () => clock.now,
  });
  return { report: () => health.report(), calls: () => calls };
}

test('an engine in which all is well has no problems, and its lanes know who serves them', async () => {
  const workers = [worker(), worker({ worker: 'gone', alive: false, lanes: ['a', 'b'] })];
  const { report } = healthOf({ ...WELL, workers }, [lane('a', 3), lane('b', 0)]);
  expect(await report()).toMatchObject({
    status: 'healthy',
    active: 1,
    queued: 2,
    problems: [],
    lanes: [
      { lane: 'a', depth: 3, workers: 1 },
      { lane: 'b', depth: 0, workers: 0 },
    ],
  });
});

test.each([
  ['no worker', { ...WELL, workers: [worker({ alive: false })] }, [], 'no worker is alive'],
  ['a reconcile pass that is late', { ...WELL, sweep: sweep(31) }, [], 'the sweep does not pass: last 31 s ago'],
  ['a reconcile pass that never was', { ...WELL, sweep: null }, [], 'the sweep does not pass: never'],
  ['a lane that nobody serves', WELL, [lane('b', 2)], "nobody serves the lane 'b': 2 jobs wait"],
  ['runs that do not move', { ...WELL, stuck: 4 }, [], '4 executions have not moved for 10 minutes'],
  ['a queue that is away', WELL, undefined, 'the queue cannot be reached'],
])('%s is named', async (_, facts, lanes, problem) => {
  expect(await healthOf(facts, lanes).report()).toMatchObject({ status: 'degraded', problems: [problem] });
});

test('without the database nothing is known', async () => {
  expect(await healthOf(undefined, []).report()).toMatchObject({
    status: 'unhealthy',
    databaseConnected: false,
    problems: ['the database cannot be reached'],
  });
});

test('however many callers there are, the stores are queried once a second', async () => {
  const clock = { now: 0 };
  const { report, calls } = healthOf(WELL, [], clock);
  await Promise.all([report(), report(), report()]);
  expect(calls()).toBe(1);
  clock.now = 1_001;
  await report();
  expect(calls()).toBe(2);
});

test('a queue that is nearly full is said, because nothing is added to it', async () => {
  const { report } = healthOf(WELL, [lane('a', 0)], { now: 0 }, { usedBytes: 249_354_400, maxBytes: 1 });
  expect(await report()).toMatchObject({
    status: 'degraded',
    problems: ['the queue uses 249,354,400 of 1 bytes of its memory: nothing is added to it'],
  });
});

test('what fails in this process and in workers is one problem for each cause, and the engine is not healthy', async () => {
  const facts = { ...WELL, faults: [{ ...fault({ firstAt: 500 }), reporter: 'w' }] };
  const own = [fault({ kind: 'work', source: 'heartbeat', class: '42501', message: 'permission denied' })];
  const found = await healthOf(facts, [], { now: 0 }, undefined, own).report();
  expect(found).toMatchObject({ status: 'degraded', problems: [] });
  expect(found.faults).toMatchObject([
    { kind: 'statement', sources: ['commit-outcomes'], firstAt: 500, reporters: ['w'] },
    { kind: 'work', sources: ['heartbeat'], reporters: [] },
  ]);
});

test('a database on which nothing can be committed is unhealthy, although it answers', async () => {
  const { report } = healthOf(WELL, [], { now: 0 }, undefined, [fault({ kind: 'write_path', source: 'database' })]);
  expect(await report()).toMatchObject({ status: 'unhealthy', databaseConnected: true });
});

test('a database that answers and rejects the question is reached', async () => {
  const { report } = healthOf(undefined, [], { now: 0 }, undefined, [], REJECTED);
  expect(await report()).toMatchObject({
    status: 'unhealthy',
    databaseConnected: true,
    problems: ['the database rejects to be asked how its workers are'],
  });
});
