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

const COMPLETED = { status: 'completed', progress: { total: GATED_ACTIONS, completed: GATED_ACTIONS } };
const CALL_MS = 25;
const EVERY_MS = 60;
const BUSY = 10;
/** Runs that are accepted after another server has taken over. */
const AFTER = 10;

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

/** Under load, `lose` is done to the server that has the queue, and the load goes on until another one has it. */
async function underLoad(
  processes: Processes,
  service: Service,
  lose: (group: RedisGroup, primary: number) => Promise<() => unknown>,
): Promise<void> {
  const { api, queuePrefix } = processes;
  const group = processes.redisGroup();
  const primary = () => group.primaryOf(`${queuePrefix}:any`);
  service.answer(() => sleep(CALL_MS).then(() => ({ body: {} })));
  await processes.start('api');
  await Promise.all([processes.start('worker'), processes.start('worker')]);
  const load = startLoad(processes, await api.createWorkflow(gated(service)));
  await until(() => service.calls.length >= BUSY * GATED_ACTIONS, { what: 'runs are under way' });
  const inQueue = async () => (await keysOf(group.client, queuePrefix)).length;
  expect(await inQueue()).toBeGreaterThan(BUSY);
  const lost = await primary();
  const bringBack = await lose(group, lost);
  await until(async () => (await primary()) !== lost, { what: 'another server has the queue' });
  const before = load.runs.length;
  await until(() => load.runs.length >= before + AFTER, { what: 'runs are accepted again' });
  // As a replica of the other one, whatever it remembers.
  await bringBack();
  const calls = service.calls.length;
  await until(() => service.calls.length > calls + BUSY, { what: 'work goes on beside the old primary' });
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

const kill = (group: RedisGroup, primary: number) => group.kill(primary);
const stop = async (group: RedisGroup, primary: number) => {
  group.signal(primary, 'SIGSTOP');
  return () => group.signal(primary, 'SIGCONT');
};

describe('behind Sentinels', () => {
  const test = processesTest('redis', { redisGroup: startSentinelPair });

  test('the primary is killed under load: no run is lost, and no task is committed twice', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, kill);
  });

  test('the primary hangs under load, and comes back as a replica that still has connections', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, stop);
  });
});

describe('in a Cluster', () => {
  const test = processesTest('redis', { redisGroup: startCluster });

  test('the master of the queue is killed under load: no run is lost, and no task is committed twice', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, kill);
  });

  test('the master of the queue hangs under load, and comes back as a replica that still has connections', async ({
    processes,
    service,
  }) => {
    await underLoad(processes, service, stop);
  });
});
