/** The server that has the queue is lost, and another one takes over: behind Sentinels, and in a Cluster. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { keysOf } from '../../harness/checker/at-rest.ts';
import { post } from '../../harness/client/insist.ts';
import { type RedisGroup, startCluster, startSentinelPair } from '../../harness/servers/redis-group.ts';
import type { Service } from '../../harness/services/service.ts';
import { until } from '../../harness/until.ts';
import { type Processes, processesTest } from '../../support/processes.ts';
import { GATED_ACTIONS, gated } from '../../support/scenario.ts';
import { echo, workflow } from '../../support/test-task.ts';

const COMPLETED = { status: 'completed', progress: { total: GATED_ACTIONS, completed: GATED_ACTIONS } };
const CALL_MS = 25;
const EVERY_MS = 60;
const BUSY = 10;
/** Runs that are accepted after another server has taken over. */
const AFTER = 10;

type Load = ReturnType<typeof startLoad>;

/** A client that starts one run after the other, and repeats with its key what gets no answer. */
function startLoad({ api }: Processes, workflow: string) {
  const runs: string[] = [];
  const ended = new AbortController();
  const next = async () => {
    const headers = { 'idempotency-key': `run-${runs.length}` };
    const answer = await post(`${api.url}/workflows/${workflow}/execute`, {}, headers);
    if (answer?.status === 202) runs.push((answer.body as { execution_id: string }).execution_id);
  };
  const load = (async () => {
    for (; !ended.signal.aborted; await sleep(EVERY_MS)) await next();
  })();
  return {
    runs,
    async stop() {
      ended.abort();
      await load;
      return runs;
    },
  };
}

/** Under load `disturb` happens, and the load goes on for a while after it; then every run has to have ended well. */
async function underLoad(
  processes: Processes,
  service: Service,
  disturb: (group: RedisGroup, load: Load) => Promise<void>,
): Promise<void> {
  const { api, queuePrefix } = processes;
  const group = processes.redisGroup();
  service.answer(() => sleep(CALL_MS).then(() => ({ body: {} })));
  await processes.start('api');
  await Promise.all([processes.start('worker'), processes.start('worker')]);
  const load = startLoad(processes, await api.createWorkflow(gated(service)));
  await until(() => service.calls.length >= BUSY * GATED_ACTIONS, { what: 'runs are under way' });
  const inQueue = async () => (await keysOf(group.client, queuePrefix)).length;
  expect(await inQueue()).toBeGreaterThan(BUSY);
  await disturb(group, load);
  const calls = service.calls.length;
  await until(() => service.calls.length > calls + BUSY, { what: 'work goes on' });
  const runs = await load.stop();
  expect(runs.length).toBeGreaterThan(BUSY + AFTER);
  expect(new Set(runs).size).toBe(runs.length);
  for (const run of runs) {
    const execution = await api.finished(run);
    expect(execution).toMatchObject(COMPLETED);
    // An attempt that was lost with the server is made again under its number: none is committed twice, and none failed.
    for (const task of execution.tasks)
      expect(task.attempts_history).toMatchObject([{ attempt: 1, status: 'completed' }]);
  }
  expect(await inQueue()).toBeGreaterThan(BUSY);
  for (const child of processes.children) expect(child.isAlive()).toBe(true);
}

/** Done to the server that has the queue; what it resolves to brings that one back. */
type Loss = (group: RedisGroup, primary: number) => Promise<() => unknown>;
const kill: Loss = (group, primary) => group.kill(primary);
const stop: Loss = async (group, primary) => {
  group.signal(primary, 'SIGSTOP');
  return () => group.signal(primary, 'SIGCONT');
};

/** Another server takes over, and the one that was lost comes back as a replica, whatever it remembers. */
async function failOver(
  { queuePrefix }: Processes,
  { group, load, lose }: { group: RedisGroup; load: Load; lose: Loss },
) {
  const primary = () => group.primaryOf(`${queuePrefix}:any`);
  const lost = await primary();
  const bringBack = await lose(group, lost);
  await until(async () => (await primary()) !== lost, { what: 'another server has the queue' });
  await acceptedMore(load);
  await bringBack();
}

/** Nobody can take over: runs are accepted all the same. */
async function loseAll(group: RedisGroup, load: Load): Promise<void> {
  const bringBack = await Promise.all(group.ports.map((port) => group.kill(port)));
  await acceptedMore(load);
  await Promise.all(bringBack.map((start) => start()));
}

async function endsWhileAway(processes: Processes): Promise<void> {
  const { api } = processes;
  await processes.start('api');
  const worker = await processes.start('worker', { SHUTDOWN_GRACE_SECONDS: '1' });
  await api.run(workflow([echo('a')]));
  const group = processes.redisGroup();
  const bringBack = await Promise.all(group.ports.map((port) => group.kill(port)));
  await until(async () => (await api.get('/health')).status === 503, { what: 'the queue is known to be away' });
  expect(await worker.end('SIGTERM')).toBe(0);
  await Promise.all(bringBack.map((start) => start()));
}

async function acceptedMore({ runs }: Load): Promise<void> {
  const before = runs.length;
  await until(() => runs.length >= before + AFTER, { what: 'runs are accepted' });
}

describe('behind Sentinels', () => {
  const test = processesTest('redis', { redisGroup: startSentinelPair });

  test('the primary is killed under load: no run is lost, and no task is committed twice', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, (group, load) => failOver(processes, { group, load, lose: kill }));
  });

  test('the primary hangs under load, and comes back as a replica that still has connections', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, (group, load) => failOver(processes, { group, load, lose: stop }));
  });

  test('both servers are lost at once and come back: runs are accepted meanwhile, and none is lost', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, loseAll);
  });

  test('a worker that is asked to end while both servers are away ends by itself', async ({ processes }) => {
    await endsWhileAway(processes);
  });
});

describe('in a Cluster', () => {
  const test = processesTest('redis', { redisGroup: startCluster });

  test('the master of the queue is killed under load: no run is lost, and no task is committed twice', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, (group, load) => failOver(processes, { group, load, lose: kill }));
  });

  test('the master of the queue hangs under load, and comes back as a replica that still has connections', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, (group, load) => failOver(processes, { group, load, lose: stop }));
  });

  test('all nodes are lost at once and come back: runs are accepted meanwhile, and none is lost', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, loseAll);
  });

  test('a worker that is asked to end while all nodes are away ends by itself', async ({ processes }) => {
    await endsWhileAway(processes);
  });
});

describe('in a Cluster, with three shards', () => {
  const test = processesTest('redis', { redisGroup: startCluster, environment: { REDIS_SHARDS: '3' } });

  test('the master of a shard is killed under load: no run is lost, and no task is committed twice', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, (group, load) => failOver(processes, { group, load, lose: kill }));
  });
});
