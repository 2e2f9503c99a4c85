/** REDIS_SHARDS: a queue of several shards behaves as one, and runs under way go on when there are more or fewer of them. */
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, test } from 'vitest';
import { examine } from '../../src/compose/doctor.ts';
import { loadConfig } from '../../src/config/config.ts';
import { GATE_QUEUE, taskJobId } from '../../src/domain/graph/compile.ts';
import { shardOf, shardOfJob } from '../../src/domain/graph/shard.ts';
import { createJobsInHand } from '../../src/engine/deliver/jobs-in-hand.ts';
import { createFlowQueue } from '../../src/queue/flow-queue.ts';
import { openBackend } from '../../src/queue/open-backend.ts';
import { openLanes } from '../../src/queue/sharded-lane.ts';
import { JOB_VERSION } from '../../src/schemas/job.ts';
import { expectRest, keysOf, prefixesOf } from '../harness/checker/at-rest.ts';
import { accepted, type Client, list, openClient } from '../harness/client/client.ts';
import { createClosing } from '../harness/closing.ts';
import { startCluster } from '../harness/servers/redis-group.ts';
import { startService } from '../harness/services/service.ts';
import { createTestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { openTestBackend } from '../support/queue-backend.ts';
import { testQueuePrefix, testRedisUrl } from '../support/servers.ts';
import { composeAt, openPlace, openStack, type Place, type StackOptions } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const SHARDS = 3;

let closing = createClosing();
afterEach(async () => {
  await closing.close();
  closing = createClosing();
});

async function sharded(options: StackOptions = {}) {
  const environment = { REDIS_SHARDS: String(SHARDS), RECONCILE_SECONDS: '1', ...options.environment };
  const stack = await openStack('redis', { ...options, environment });
  closing.push(() => stack.stop());
  return stack;
}

async function serviceOf() {
  const service = await startService();
  closing.push(() => service.close());
  return service;
}

/** Ids of runs by their shard, as many of each at least. */
async function runsInEach(api: Client, workflowId: string, least: number): Promise<string[][]> {
  const ofShards: string[][] = Array.from({ length: SHARDS }, () => []);
  while (ofShards.some((runs) => runs.length < least)) {
    const id = await api.execute(workflowId);
    ofShards[shardOf(id, SHARDS)]?.push(id);
  }
  return ofShards;
}

/** The runs that have a job under each prefix, ended ones included. */
async function runsUnder(place: Pick<Place, 'redis' | 'queuePrefix'>): Promise<Array<Set<string>>> {
  const { redis, queuePrefix } = place;
  if (redis === undefined) throw new Error('no Redis');
  const found: Array<Set<string>> = [];
  for (const prefix of prefixesOf(queuePrefix, SHARDS)) {
    const ids = (await keysOf(redis, prefix)).map((key) => key.slice(prefix.length + 1).split(':')[1] ?? '');
    found.push(new Set(ids.filter((id) => id.includes('.')).map((id) => id.slice(0, id.indexOf('.')))));
  }
  return found;
}

const DIAMOND = workflow([
  echo('a'),
  echo('b', ['a']),
  { action_id: 'wait', action_type: 'wait', config: { seconds: 0.2 }, depends_on: ['a'] },
  echo('c', ['a']),
  echo('d', ['b', 'c', 'wait']),
  echo('e', ['b', 'c']),
]);

describe('three shards', () => {
  test('have whole runs, and depths, pauses, the board, /why and the doctor span them', async () => {
    const stack = await sharded({ workers: 2 });
    const { api } = stack;
    const ofShards = await runsInEach(api, await api.createWorkflow(DIAMOND), 5);
    for (const id of ofShards.flat()) expect(await api.finished(id)).toMatchObject({ status: 'completed' });
    expect((await runsUnder(stack)).map((runs) => [...runs].sort())).toEqual(ofShards.map((runs) => [...runs].sort()));

    accepted(await api.post('/lanes/transform/pause', { reason: 'hot' }), 202);
    const held = workflow([{ action_id: 'held', action_type: 'transform', config: { expression: '1 + 1' } }]);
    const paused = await runsInEach(api, await api.createWorkflow(held), 2);
    const lane = async () => list(await api.get('/lanes')).find((one) => one['lane'] === 'transform');
    const waiting = paused.flat().length;
    await until(async () => (await lane())?.['depth'] === waiting, { what: 'the jobs of all shards are counted' });
    for (const [run] of paused) {
      const why = accepted(await api.get(`/executions/${run}/why`), 200).body;
      expect(JSON.stringify(why)).toMatch(/lane_paused/);
    }
    const { queues } = accepted(await api.get('/admin/queues/api/queues'), 200).body as { queues: { name: string }[] };
    const names = queues.map(({ name }) => name).filter((name) => name.endsWith(':transform'));
    expect(names).toEqual(['0:transform', '1:transform', '2:transform']);
    const page = accepted(
      await api.get('/admin/queues/api/queues?activeQueue=2%3Atransform&page=1&status=prioritized'),
      200,
    );
    const shown = (page.body as { queues: { name: string; jobs: { id: string }[] }[] }).queues;
    const jobs = shown.find(({ name }) => name === '2:transform')?.jobs.map(({ id }) => id.slice(0, id.indexOf('.')));
    expect(jobs?.sort()).toEqual(paused[2]?.sort());
    accepted(await api.post('/lanes/transform/resume'), 202);
    for (const id of paused.flat()) expect(await api.finished(id)).toMatchObject({ status: 'completed' });

    const config = loadConfig(stack.environment, { cwd: stack.folder });
    const found = await examine({ config, databaseUrl: stack.databaseUrl, repair: false, days: 7, confirmMs: 50 });
    expect(found.find(({ check }) => check === 'redis_shards')?.message).toMatch(/3 shards .* on one server/);
    const ofQueue = found.filter(({ check }) =>
      /^redis|^(runs_have_jobs|jobs_have_runs|gates_have_sources)$/.test(check),
    );
    expect(ofQueue.filter(({ status }) => status === 'problem')).toEqual([]);
    expect(ofQueue.filter(({ check }) => check === 'redis')).toHaveLength(1);
    await expectRest(stack);
    expect(stack.log.takeAlarms()).toEqual([]);
  });

  test('share the slots of a lane: a process executes no more at once, and one wide run gets nearly all of them', async () => {
    const slots = 9;
    const service = await serviceOf();
    let running = 0;
    let most = 0;
    let release: () => void = () => undefined;
    let gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    service.answer(async () => {
      running += 1;
      most = Math.max(most, running);
      await gate;
      running -= 1;
      return { body: {} };
    });
    const { api } = await sharded({ environment: { WORKER_CONCURRENCY: String(slots) } });
    const call = (id: string) => ({
      action_id: id,
      action_type: 'http_request',
      config: { url: `${service.url}/${id}` },
    });
    const wide = await api.execute(
      await api.createWorkflow(workflow(Array.from({ length: 4 * slots }, (_, n) => call(`a${n}`)))),
    );
    await until(() => running === slots - (SHARDS - 1), {
      what: 'the wide run has all slots but one of each other shard',
    });
    const single = await api.createWorkflow(workflow([call('single')]));
    const others = await runsInEach(api, single, 4);
    await until(() => running === slots, { what: 'the last slots are taken by runs of other shards' });
    release();
    gate = Promise.resolve();
    for (const id of [wide, ...others.flat()]) expect(await api.finished(id)).toMatchObject({ status: 'completed' });
    expect(most).toBe(slots);
  });

  test('keep the rate limit of a lane together', async () => {
    const [max, perMs] = [3, 1_000];
    const stack = await sharded({
      workers: 2,
      environment: { LANE_RATE_LIMITS: `test_task=${max}/${perMs / 1_000}s` },
    });
    const { api, db } = stack;
    const runs = (await runsInEach(api, await api.createWorkflow(workflow([echo('a')])), 4)).flat();
    for (const id of runs) expect(await api.finished(id)).toMatchObject({ status: 'completed' });
    const { rows } = await db.query<{ at: Date; attempts: number }>(
      `SELECT started_at AS at, attempt AS attempts FROM task WHERE run_id = ANY($1) ORDER BY started_at`,
      [runs],
    );
    expect(rows.filter(({ attempts }) => attempts !== 1)).toEqual([]);
    const starts = rows.map(({ at }) => at.getTime());
    expect(starts).toHaveLength(runs.length);
    // Windows follow each other: twice the limit may meet where one ends, and never more within the time of one.
    for (const [n, at] of starts.entries()) {
      const next = starts[n + 2 * max];
      if (next !== undefined) expect(next - at).toBeGreaterThan(perMs / 2);
    }
    await expectRest(stack);
    expect(stack.log.takeAlarms()).toEqual([]);
  });
});

/** The lane `lane` in three shards, without an engine: what is handled is remembered. */
async function lanesOf(rateLimit: { max: number; perMs: number } | undefined) {
  const prefix = testQueuePrefix();
  const backend = openTestBackend({ redisUrl: testRedisUrl(), prefix, shards: SHARDS });
  closing.push(() => backend.close());
  const queue = createFlowQueue({ backend });
  closing.push(() => queue.close());
  const log = createTestLog();
  const handled: string[] = [];
  /** Whatever the shard of its run is. */
  const add = async (shard: number, runId: string) => {
    const data = { v: JOB_VERSION, run_id: runId, epoch: 1, gen: 0, action_id: 'a', of: { action_type: 'lane' } };
    await queue.queues(['lane'])[shard]?.add('a', data, { jobId: taskJobId(runId, 1, 'a') });
  };
  const open = () => {
    const lanes = openLanes({
      ...{ backend, queue: 'lane', concurrency: 9, lockDurationMs: 30_000, stalledIntervalMs: 30_000, rateLimit },
      now: Date.now,
      async handle({ data }) {
        handled.push(data.run_id);
        return { job: 'complete' };
      },
      isPassing: () => false,
      storesReasons: true,
      onLost: async () => undefined,
      inHand: createJobsInHand({ lockDurationMs: 30_000, now: () => performance.now(), log }),
      log,
    });
    for (const lane of lanes) closing.push(() => lane.close());
    return lanes;
  };
  return { backend, queue, prefix, handled, add, open };
}

/** So many ids of runs of that shard. */
function runIds(shard: number, count: number): string[] {
  const found: string[] = [];
  for (let n = 0; found.length < count; n += 1) if (shardOf(`run-${n}`, SHARDS) === shard) found.push(`run-${n}`);
  return found;
}

test('a job in another shard than its run is acknowledged and not executed', async () => {
  const { queue, handled, add, open } = await lanesOf(undefined);
  const [own = ''] = runIds(0, 1);
  const [misplaced = ''] = runIds(1, 1);
  await add(0, misplaced);
  await add(0, own);
  const lanes = open();
  expect(lanes.map((lane) => lane.queue)).toEqual(['lane', 'lane@1', 'lane@2']);
  const [first] = queue.queues(['lane']);
  await until(async () => (await first?.getCompletedCount()) === 2, { what: 'both are acknowledged' });
  expect(handled).toEqual([own]);
  // To the watch of the worker both were taken.
  expect(lanes[0]?.taken()).toBe(2);
});

test('a rate limit counts the starts of all shards, and what is beyond it goes back as it was', async () => {
  const { backend, queue, prefix, handled, add, open } = await lanesOf({ max: 2, perMs: 600_000 });
  const ids = [0, 1, 2].map((shard) => runIds(shard, 3));
  for (const [shard, runs] of ids.entries()) for (const run of runs) await add(shard, run);
  open();
  const redis = new Redis(testRedisUrl(), { connectionName: 'test' });
  closing.push(() => redis.disconnect());
  const isLimited = async (one: string) => (await redis.pttl(`${one}:lane:limiter`)) > 0;
  const counts = () => Promise.all(queue.queues(['lane']).map((lane) => lane.getJobCounts('waiting', 'active')));
  await until(
    async () => {
      const limited = await Promise.all(prefixesOf(prefix, SHARDS).map(isLimited));
      return limited.every(Boolean) && (await counts()).every(({ active }) => active === 0);
    },
    { what: 'every shard rests' },
  );
  expect(handled).toHaveLength(2);
  const waiting = (await counts()).reduce((sum, count) => sum + (count['waiting'] ?? 0), 0);
  expect(waiting).toBe(ids.flat().length - 2);
  expect(await backend.takeStart('lane', { max: 2, perMs: 600_000 })).toBeGreaterThan(0);
  expect(await backend.takeStart('other', { max: 2, perMs: 600_000 })).toBe(0);
});

test('the janitors page through all shards, and what is in another shard than its run is removed', async () => {
  const backend = openTestBackend({ redisUrl: testRedisUrl(), shards: SHARDS });
  closing.push(() => backend.close());
  const queue = createFlowQueue({ backend });
  closing.push(() => queue.close());
  const ids = (what: string) => Array.from({ length: 40 }, (_, n) => `${what}-${n}.1.a.b`);
  const at = (jobId: string, step = 0) => (shardOfJob(jobId, SHARDS) + step) % SHARDS;
  const add = async (
    name: string,
    jobIds: readonly string[],
    { step = 0, ...opts }: { step?: number; delay?: number },
  ) => {
    const lanes = queue.queues([name]);
    for (const jobId of jobIds) await lanes[at(jobId, step)]?.add('job', {} as never, { jobId, ...opts });
  };
  await add(GATE_QUEUE, ids('gate'), {});
  await add('lane', ids('asleep'), { delay: 3_600_000 });
  const pages = async (page: (offset: number) => Promise<string[]>) => {
    const found: string[] = [];
    for (let more = await page(0); more.length > 0; more = await page(found.length)) found.push(...more);
    return found.sort();
  };
  const gates = () => pages((offset) => queue.gatePage(offset, 7));
  const asleep = () => pages((offset) => queue.jobPage('lane', 'delayed', offset, 7));
  expect(await gates()).toEqual(ids('gate').sort());
  expect(await asleep()).toEqual(ids('asleep').sort());
  expect(await queue.removeMisplaced?.(['lane'])).toBe(0);

  await add(GATE_QUEUE, ids('lost'), { step: 1 });
  await add('lane', ids('old'), { step: 2, delay: 3_600_000 });
  await queue.removeGates(ids('lost'));
  const left = async (jobId: string, name: string) =>
    (await Promise.all(queue.queues([name]).map((lane) => lane.getJob(jobId)))).filter((job) => job !== undefined)
      .length;
  expect(await left('lost-0.1.a.b', GATE_QUEUE)).toBe(1);
  expect(await queue.removeMisplaced?.(['lane'])).toBe(80);
  for (const [name, jobIds] of [
    [GATE_QUEUE, ids('lost')],
    ['lane', ids('old')],
  ] as const)
    for (const jobId of jobIds) expect(await left(jobId, name)).toBe(0);
  expect(await gates()).toEqual(ids('gate').sort());
  expect(await asleep()).toEqual(ids('asleep').sort());
});

describe('in a Cluster', () => {
  async function clusterOf() {
    const group = await startCluster();
    closing.push(() => group.close());
    return group;
  }

  test('runs of every shard complete, and each server that has some is examined', async () => {
    const group = await clusterOf();
    const stack = await sharded({ redisGroup: group });
    const { api, queuePrefix } = stack;
    const ofShards = await runsInEach(api, await api.createWorkflow(DIAMOND), 3);
    for (const id of ofShards.flat()) expect(await api.finished(id)).toMatchObject({ status: 'completed' });
    const owners = new Set<number>();
    for (const [shard, prefix] of prefixesOf(queuePrefix, SHARDS).entries()) {
      owners.add(await group.primaryOf(prefix));
      const keys = (await keysOf(group.client, prefix)).join('\n');
      for (const id of ofShards[shard] ?? []) expect(keys).toContain(`${prefix}:test_task:${id}.`);
    }
    const config = loadConfig(stack.environment, { cwd: stack.folder });
    const found = await examine({ config, databaseUrl: stack.databaseUrl, repair: false, days: 7, confirmMs: 50 });
    const words = owners.size === 1 ? 'one server' : `${owners.size} servers`;
    expect(found.find(({ check }) => check === 'redis_shards')?.message).toBe(
      `the 3 shards of the queue are on ${words}`,
    );
    expect(found.filter(({ check }) => check === 'redis')).toHaveLength(owners.size);
    expect(found.filter(({ check, status }) => check.startsWith('redis') && status !== 'ok')).toEqual([]);
    await expectRest({ ...stack, redis: group.client });
  });

  test('the fullest of the servers counts, and one that is replaced is noticed, whichever shard it has', async () => {
    const group = await clusterOf();
    const { redis } = loadConfig(group.environment, { cwd: '/nowhere' });
    // {orch-0} is on another master than the other two.
    const prefix = '{orch-0}';
    const backend = openBackend({
      ...{ redis, databaseUrl: 'postgres://unused', prefix, shards: SHARDS },
      ...{ offlineCommands: 'wait', name: 'test', log: createTestLog() },
    });
    closing.push(() => backend.close());
    const queue = createFlowQueue({ backend, timeoutMs: 5_000 });
    closing.push(() => queue.close());
    await until(() => backend.ping(), { what: 'it is connected' });
    const other = await group.primaryOf('{orch-2}');
    expect(other).not.toBe(await group.primaryOf(prefix));

    expect(await backend.memoryUse()).toBeUndefined();
    await group.ask(other, (server) => server.config('SET', 'maxmemory', '100mb'));
    expect(await backend.memoryUse()).toMatchObject({ maxBytes: 104_857_600 });
    expect(await queue.wasWiped()).toBe(true);
    await queue.markSeen();
    expect(await queue.wasWiped()).toBe(false);
    let noticed = 0;
    backend.onOtherServer(() => {
      noticed += 1;
    });
    await group.kill(other);
    await until(() => noticed > 0, { what: 'the other server is noticed' });
    await until(() => queue.ping(), { what: 'all servers answer' });
    expect(await queue.wasWiped()).toBe(true);
  });
});

/** Processes of one place, with as many shards as are said each time. */
async function inLayouts(place: Place) {
  const log = createTestLog();
  const running: Array<{ stop(): Promise<void> }> = [];
  closing.push(async () => void (await Promise.all(running.map((process) => process.stop()))));
  return {
    log,
    async start(shards: number): Promise<Client> {
      // What is in hand when a process ends goes back to its queue at once.
      const settings = { REDIS_SHARDS: String(shards), RECONCILE_SECONDS: '1', SHUTDOWN_GRACE_SECONDS: '0' };
      const [api, worker] = [
        await composeAt(place, 'api', settings, log),
        await composeAt(place, 'worker', settings, log),
      ];
      running.push(api, worker);
      const { port } = await api.start();
      await worker.start();
      return openClient(`http://127.0.0.1:${port}`);
    },
    async stop() {
      await Promise.all(running.splice(0).map((process) => process.stop()));
    },
  };
}

describe('a run under way', () => {
  test.each([
    [1, SHARDS],
    [SHARDS, 1],
  ])('goes on when %i becomes %i, and no task is committed twice', async (before, after) => {
    const place = await openPlace('redis');
    closing.push(() => place.close());
    const service = await serviceOf();
    let isSlow = true;
    service.answer(async ({ path }) => {
      await until(() => path !== '/slow' || !isSlow, { what: 'the slow service answers' });
      return { body: {} };
    });
    const call = (id: string, ...dependsOn: string[]) => ({
      ...{ action_id: id, action_type: 'http_request', depends_on: dependsOn },
      config: { url: `${service.url}/${id}` },
    });
    // One in hand and one asleep when the processes end, and gates above both.
    const definition = workflow([
      call('first'),
      call('slow', 'first'),
      { action_id: 'wait', action_type: 'wait', config: { seconds: 3 }, depends_on: ['first'] },
      call('join', 'slow', 'wait'),
      call('other', 'slow', 'wait'),
      call('last', 'join', 'other'),
    ]);
    const layouts = await inLayouts(place);
    const first = await layouts.start(before);
    const runs = (await runsInEach(first, await first.createWorkflow(definition), 2)).flat();
    const asked = (path: string) => service.calls.filter((one) => one.path === path).length;
    await until(() => asked('/slow') === runs.length, { what: 'every run has a call under way' });
    await layouts.stop();
    const old = await runsUnder(place);
    isSlow = false;

    const api = await layouts.start(after);
    for (const id of runs) {
      const execution = await api.finished(id);
      expect(execution).toMatchObject({ status: 'completed', progress: { total: 6, completed: 6 } });
      for (const task of execution.tasks)
        expect(task.attempts_history).toMatchObject([{ attempt: 1, status: 'completed' }]);
    }
    // What was committed before is not executed again, and what was in hand by one worker only.
    expect([asked('/first'), asked('/slow'), asked('/last')]).toEqual([runs.length, 2 * runs.length, runs.length]);
    expect(old.map((one) => one.size)).toEqual(before === 1 ? [runs.length, 0, 0] : old.map(() => expect.any(Number)));

    // Nothing is left where workers are: what was misplaced is acknowledged or removed.
    await expectRest({ ...place, queueShards: after });
    if (after < before) {
      // The jobs of shards that nobody serves any more stay, and do no harm when they are served again.
      const left = await Promise.all(prefixesOf(place.queuePrefix, before).map((prefix) => openJobs(place, prefix)));
      expect(left.slice(after).flat().length).toBeGreaterThan(0);
      await layouts.stop();
      await layouts.start(before);
      await expectRest({ ...place, queueShards: before });
      expect([asked('/first'), asked('/slow'), asked('/last')]).toEqual([runs.length, 2 * runs.length, runs.length]);
    }
    await layouts.stop();
  });
});

async function openJobs({ redisUrl = '' }: Place, prefix: string): Promise<string[]> {
  const queue = new Queue('http_request', { connection: { url: redisUrl }, prefix, skipMetasUpdate: true });
  try {
    return await queue.getRanges(['waiting', 'prioritized', 'delayed', 'waiting-children', 'active']);
  } finally {
    await queue.close();
  }
}
