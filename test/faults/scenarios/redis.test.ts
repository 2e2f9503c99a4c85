/** What becomes of runs when the Redis of the queue forgets, stops, fills up, or comes back with a part of its memory. */
import { readdirSync, statSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { Service } from '../../harness/services/service.ts';
import { until } from '../../harness/until.ts';
import { type Processes, processesTest } from '../../support/processes.ts';
import { extraCalls, GATED_ACTIONS, gated, hasStopped, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { echo, workflow } from '../../support/test-task.ts';

const COMPLETED = { status: 'completed', progress: { total: GATED_ACTIONS, completed: GATED_ACTIONS } };
const LOCK_MS = 1_500;
const later = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const test = processesTest('redis', { ownRedis: true });

/** So many runs under way, each of calls that take a moment. */
async function underWay({ api }: Processes, service: Service, count: number): Promise<string[]> {
  service.answer(() => later(25).then(() => ({ body: {} })));
  const id = await api.createWorkflow(gated(service));
  const runs = await Promise.all(Array.from({ length: count }, () => api.execute(id)));
  await until(() => service.calls.length >= count, { what: 'the runs are under way' });
  return runs;
}

test('Redis forgets everything while nothing runs: what sleeps wakes in its time, and new runs go on as ever', async ({
  api,
  processes,
  service,
}) => {
  await processes.compose('api');
  await processes.compose('worker');
  const sleeping = await api.execute(
    await api.createWorkflow(
      workflow([{ action_id: 'pause', action_type: 'wait', config: { seconds: 4 } }, echo('after', ['pause'])]),
    ),
  );
  await until(async () => (await processes.db.query(`SELECT 1 FROM task WHERE status = 'waiting'`)).rowCount === 1);
  await processes.redis?.flushall();
  const [run] = await underWay(processes, service, 1);
  expect(await api.finished(run ?? '')).toMatchObject(COMPLETED);
  expect(await api.finished(sleeping)).toMatchObject({ status: 'completed', tasks: [{ attempts: 1 }, {}] });
  expect(extraCalls(service)).toBe(0);
});

test('Redis forgets everything between the reading and the adding of a reconciler, and again after it', async ({
  api,
  processes,
  service,
}) => {
  await processes.compose('api');
  const first = await processes.start('worker', {
    ...ONE_AT_A_TIME,
    FAILPOINTS: 'reconcile.afterRead:stop,reconcile.afterAdd:stop',
  });
  service.answer(() => (service.calls.length === 1 ? undefined : { body: {} }));
  const run = await api.execute(await api.createWorkflow(gated(service)));
  await until(() => service.calls.length === 1);
  await processes.redis?.flushall();
  await hasStopped(first);
  await processes.redis?.flushall();
  first.signal('SIGCONT');
  const job = `${processes.queuePrefix}:http_request:${run}.1.a`;
  await until(async () => (await processes.redis?.exists(job)) === 1, { what: 'the job is added again' });
  await hasStopped(first);
  await processes.redis?.flushall();
  await first.end('SIGKILL');
  await processes.compose('worker', ONE_AT_A_TIME);
  expect(await api.finished(run)).toMatchObject(COMPLETED);
  expect(extraCalls(service)).toBe(1);
});

test('Redis comes back without the last tenth of what it had written: what it repeats is only acknowledged', async ({
  api,
  processes,
  service,
  db,
}) => {
  await processes.compose('api');
  await processes.start('worker', { WORKER_CONCURRENCY: '4' });
  const runs = await underWay(processes, service, 15);
  const { folder } = processes.ownRedis();
  const start = await processes.killRedis();
  const files = path.join(folder, 'appendonlydir');
  const log = path.join(files, readdirSync(files).find((name) => name.endsWith('.incr.aof')) ?? '');
  truncateSync(log, Math.floor(statSync(log).size * 0.9));
  const committed = (await db.query('SELECT 1 FROM task WHERE final')).rowCount ?? 0;
  expect(committed).toBeGreaterThan(0);
  await start();
  for (const run of runs) {
    const ended = await api.finished(run);
    expect(ended).toMatchObject(COMPLETED);
    for (const task of ended.tasks) expect(task.attempts_history).toMatchObject([{ attempt: 1, status: 'completed' }]);
  }
  // What was being called, and what had been called and was not committed: nothing that was.
  expect(extraCalls(service)).toBeLessThanOrEqual(2 * 4);
});

test('Redis is full while runs are under way: nothing fails for it, and everything is done once it has room', async ({
  api,
  processes,
  service,
}) => {
  await processes.compose('api');
  const worker = await processes.start('worker');
  const runs = await underWay(processes, service, 10);
  await processes.redis?.config('SET', 'maxmemory', '1mb');
  const refused = async () =>
    Number(/errorstat_OOM:count=(\d+)/.exec((await processes.redis?.info('errorstats')) ?? '')?.[1] ?? 0);
  await until(async () => (await refused()) > 20, { what: 'Redis refuses what would need memory' });
  expect(worker.isAlive()).toBe(true);
  await processes.redis?.config('SET', 'maxmemory', '0');
  for (const run of runs) {
    const ended = await api.finished(run);
    expect(ended).toMatchObject(COMPLETED);
    for (const task of ended.tasks) expect(task).toMatchObject({ attempts: 1 });
  }
});

test.for([
  ['is stopped', (redis: number) => process.kill(redis, 'SIGSTOP')],
  ['lets every client wait', undefined],
] as const)(
  'Redis %s for several locks: runs are accepted all the same, and no task fails or is tried again for it',
  async ([, stop], { api, processes, service, db }) => {
    await processes.compose('api');
    await Promise.all([1, 2].map(() => processes.start('worker', { WORKER_CONCURRENCY: '4' })));
    const runs = await underWay(processes, service, 10);
    const pid = processes.ownRedis().pid ?? 0;
    if (stop === undefined) await processes.redis?.call('CLIENT', 'PAUSE', String(3 * LOCK_MS), 'ALL');
    else stop(pid);
    const id = await api.createWorkflow(gated(service));
    runs.push(await api.execute(id), await api.execute(id));
    await later(3 * LOCK_MS);
    process.kill(pid, 'SIGCONT');
    for (const run of runs) {
      const ended = await api.finished(run);
      expect(ended).toMatchObject(COMPLETED);
      for (const task of ended.tasks)
        expect(task.attempts_history).toMatchObject([{ attempt: 1, status: 'completed' }]);
    }
    expect((await db.query('SELECT 1 FROM task WHERE deliveries > 3')).rowCount).toBe(0);
  },
);
