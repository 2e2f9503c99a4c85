/** Runs that sleep: they take no place in the window, nothing of them is in the queue, and they go on when they are woken or due. */
import { describe, expect } from 'vitest';
import { accepted, type Client, list, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { complete, take } from '../support/external-worker.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, type TestAction, workflow } from '../support/test-task.ts';

const WINDOW = 5;
const DAY = 86_400;
const environment = { ADMISSION_WINDOW: String(WINDOW), RECONCILE_SECONDS: '1' };
const as = ({ api }: Stack, tenant: string): Client => openClient(api.url, { 'x-tenant-id': tenant });

/** One of each way to sleep, by what it waits for. */
const WAYS: Record<string, TestAction> = {
  approval: { action_id: 'sleep', action_type: 'approval', config: { message: 'Go on?' } },
  signal: { action_id: 'sleep', action_type: 'signal', config: { name: 'go' } },
  external: {
    action_id: 'sleep',
    action_type: 'external',
    config: { topic: 'outside', input: {} },
    timeout_seconds: DAY,
  },
  wait: { action_id: 'sleep', action_type: 'wait', config: { seconds: DAY } },
  delay: echo('sleep', [], {}, { delay_seconds: DAY }),
  backoff: echo(
    'sleep',
    [],
    { fail_with: 'not yet', fail_attempts: 1 },
    {
      retry: { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 3_600, max_delay_seconds: 3_600, jitter: 0 },
    },
  ),
};
const KINDS = Object.keys(WAYS);

interface Sleeper {
  kind: string;
  run: string;
}

async function begin(api: Client, count: number): Promise<Sleeper[]> {
  const ids = new Map<string, string>();
  for (const [kind, action] of Object.entries(WAYS)) {
    ids.set(kind, await api.createWorkflow(workflow([action, echo('after', ['sleep'])])));
  }
  const sleepers: Sleeper[] = [];
  for (let index = 0; index < count; index += 1) {
    const kind = KINDS[index % KINDS.length] ?? '';
    sleepers.push({ kind, run: await api.execute(ids.get(kind) ?? '') });
  }
  return sleepers;
}

const statusesOf = async ({ db }: Stack, sleepers: readonly Sleeper[]): Promise<Map<string, string>> => {
  const ids = sleepers.map(({ run }) => run);
  const { rows } = await db.query<{ id: string; status: string }>('SELECT id, status FROM run WHERE id = ANY($1)', [
    ids,
  ]);
  return new Map(rows.map(({ id, status }) => [id, status]));
};

const allAre = (stack: Stack, sleepers: readonly Sleeper[], status: string): Promise<unknown> =>
  until(async () => [...(await statusesOf(stack, sleepers)).values()].every((each) => each === status), {
    what: `all are ${status}`,
  });

const haveLeft = ({ db }: Stack, sleepers: readonly Sleeper[]): Promise<unknown> =>
  until(
    async () => {
      const ids = sleepers.map(({ run }) => run);
      return (await db.query('SELECT 1 FROM run WHERE id = ANY($1) AND left_queue IS NOT TRUE', [ids])).rowCount === 0;
    },
    { what: 'all have left the queue' },
  );

/** Jobs of any queue that belong to one of these. */
async function jobsOf({ db, redis, queuePrefix }: Stack, sleepers: readonly Sleeper[]): Promise<string[]> {
  const isOurs = (key: string) => sleepers.some(({ run }) => key.includes(`${run}.1.`));
  if (redis !== undefined) return (await redis.keys(`${queuePrefix}:*`)).filter(isOurs);
  const { rows } = await db.query<{ id: string }>('SELECT id FROM bullmq.job');
  return rows.map(({ id }) => id).filter(isOurs);
}

/** As if the time were over that it waits for. */
async function makeDue({ db }: Stack, { run }: Sleeper): Promise<void> {
  await db.query(
    `UPDATE task SET not_before = now(), wake_at = CASE WHEN wake_at IS NOT NULL THEN now() END WHERE run_id = $1 AND NOT final`,
    [run],
  );
  await db.query('UPDATE run SET sleeps_until = now() WHERE id = $1', [run]);
}

async function wake(stack: Stack, api: Client, sleeper: Sleeper, tenant: string): Promise<void> {
  const path = `/workflows/executions/${sleeper.run}`;
  switch (sleeper.kind) {
    case 'approval':
      accepted(await api.post(`${path}/approve`, { action_id: 'sleep' }), 202);
      return;
    case 'signal':
      accepted(await api.post(`${path}/signals/go`, { payload: {} }), 202);
      return;
    case 'external':
      accepted(await complete(api, await take(api, 'outside', { tenant }), {}), 200);
      return;
    default:
      return makeDue(stack, sleeper);
  }
}

describe.each(onBothBackends({ environment }))('runs that sleep, on $backend', ({ test }) => {
  test('ten of them leave a window of five to new runs of any tenant, and go on when they are woken or due', async ({
    stack,
  }) => {
    const api = as(stack, 'sleepy');
    const sleepers = await begin(api, 10);
    await allAre(stack, sleepers, 'waiting');
    const quick = workflow([echo('first'), echo('second', ['first'])]);
    for (const tenant of ['sleepy', 'other']) {
      const other = as(stack, tenant);
      const id = await other.createWorkflow(quick);
      const runs = await Promise.all(Array.from({ length: 2 * WINDOW }, () => other.execute(id)));
      for (const run of runs) expect(await other.finished(run)).toMatchObject({ status: 'completed' });
    }
    expect(new Set((await statusesOf(stack, sleepers)).values())).toEqual(new Set(['waiting']));
    for (const sleeper of sleepers) await wake(stack, api, sleeper, 'sleepy');
    for (const { run } of sleepers) expect(await api.finished(run)).toMatchObject({ status: 'completed' });
  });

  test('a long sleep leaves nothing in the queue, and the run is added again when it is due', async ({ stack, db }) => {
    const api = as(stack, 'long');
    const sleepers = await begin(api, 12);
    await allAre(stack, sleepers, 'waiting');
    await haveLeft(stack, sleepers);
    await until(async () => (await jobsOf(stack, sleepers)).length === 0, { what: 'nothing is in the queue' });
    for (const sleeper of sleepers) await wake(stack, api, sleeper, 'long');
    for (const { run, kind } of sleepers) {
      const ended = await api.finished(run);
      expect(ended, kind).toMatchObject({ status: 'completed' });
      expect(taskOf(ended, 'sleep').attempts, kind).toBe(kind === 'backoff' ? 2 : 1);
    }
    const { rows } = await db.query<{ run_id: string; kinds: string[] }>(
      `SELECT run_id, array_agg(kind ORDER BY id) AS kinds FROM event WHERE run_id = ANY($1) AND kind LIKE 'run.%' GROUP BY 1`,
      [sleepers.map(({ run }) => run)],
    );
    for (const { kinds } of rows) expect(kinds).toEqual(['run.waiting', 'run.running', 'run.completed']);
  });

  test('its status is `waiting` in its answer, in lists and in filters, until it goes on', async ({ stack }) => {
    const api = as(stack, 'shown');
    const [sleeper] = await begin(api, 1);
    if (sleeper === undefined) throw new Error('no run was begun');
    await allAre(stack, [sleeper], 'waiting');
    const waiting = async () => list(await api.get('/executions?status=waiting')).map((run) => run['execution_id']);
    expect(accepted(await api.get(`/workflows/executions/${sleeper.run}`), 200).body).toMatchObject({
      status: 'waiting',
    });
    expect(await waiting()).toEqual([sleeper.run]);
    // The older words know no such thing.
    expect(accepted(await api.get(`/result/${sleeper.run}`), 200).body).toMatchObject({
      status: 'running',
    });
    await haveLeft(stack, [sleeper]);
    const why = accepted(await api.get(`/executions/${sleeper.run}/why`), 200);
    expect(why.body).toMatchObject({ status: 'waiting', root: { cause: { code: 'approval' } } });
    await wake(stack, api, sleeper, 'shown');
    expect(await api.finished(sleeper.run)).toMatchObject({ status: 'completed' });
    expect(await waiting()).toEqual([]);
  });

  test('one branch that runs makes a run running, whatever else sleeps', async ({ stack, api, service }) => {
    let answer: () => void = () => undefined;
    service.answer(
      () =>
        new Promise((resolve) => {
          answer = () => resolve({ body: {} });
        }),
    );
    const asks = { action_id: 'asks', action_type: 'approval', config: { message: '?' } };
    const calls = { action_id: 'calls', action_type: 'http_request', config: { url: service.url } };
    const run = await api.execute(await api.createWorkflow(workflow([asks, calls, echo('end', ['asks', 'calls'])])));
    await until(() => service.calls.length === 1, { what: 'the call is made' });
    await until(async () => taskOf(await api.execution(run), 'asks').status === 'waiting', { what: 'the other asks' });
    expect(await api.execution(run)).toMatchObject({ status: 'running' });
    answer();
    await allAre(stack, [{ kind: 'approval', run }], 'waiting');
    await haveLeft(stack, [{ kind: 'approval', run }]);
    accepted(await api.post(`/workflows/executions/${run}/approve`, { action_id: 'asks' }), 202);
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(service.calls).toHaveLength(1);
  });

  test('it is cancelled, paused and resumed, and settled by hand like any other', async ({ stack, api }) => {
    const approval = WAYS['approval'] as TestAction;
    const id = await api.createWorkflow(workflow([approval, echo('after', ['sleep'])]));
    const sleepers = await Promise.all(
      ['a', 'b', 'c'].map(async () => ({ kind: 'approval', run: await api.execute(id) })),
    );
    const [one, two, three] = sleepers.map(({ run }) => run);
    await haveLeft(stack, sleepers);
    accepted(await api.post(`/workflows/executions/${one}/cancel`, {}), 202);
    expect(await api.finished(one ?? '')).toMatchObject({ status: 'cancelled' });
    accepted(await api.post(`/workflows/executions/${two}/pause`, {}), 202);
    accepted(await api.post(`/workflows/executions/${two}/approve`, { action_id: 'sleep' }), 202);
    accepted(await api.post(`/workflows/executions/${two}/resume`, {}), 202);
    expect(await api.finished(two ?? '')).toMatchObject({ status: 'completed' });
    accepted(await api.post(`/workflows/executions/${three}/complete`, { action_id: 'sleep', output: {} }), 200);
    expect(await api.finished(three ?? '')).toMatchObject({ status: 'completed' });
  });

  test('a loop that waits between its iterations, and items that sleep, leave the queue too', async ({
    stack,
    api,
    db,
  }) => {
    const loop = echo('sleep', [], {}, { repeat: { until: 'iteration == 2', max_iterations: 3, delay_seconds: DAY } });
    const items = { ...WAYS['approval'], for_each: { items: [1, 2, 3] } } as TestAction;
    const looping = await api.execute(await api.createWorkflow(workflow([loop])));
    const asking = await api.execute(await api.createWorkflow(workflow([items])));
    const sleepers = [looping, asking].map((run) => ({ kind: 'parts', run }));
    await haveLeft(stack, sleepers);
    // The first iteration has ended, and is kept for a while as every job that has.
    const ended = `${looping}.1.${encodeURIComponent('sleep[0]')}`;
    const open = async () => (await jobsOf(stack, sleepers)).filter((key) => !key.includes(ended));
    await until(async () => (await open()).length === 0, { what: 'nothing is in the queue' });
    await makeDue(stack, { kind: 'loop', run: looping });
    expect(await api.finished(looping)).toMatchObject({ status: 'completed' });
    for (const at of [0, 1, 2]) {
      const path = `/workflows/executions/${asking}/approve`;
      accepted(await api.post(path, { action_id: `sleep[${at}]` }), 202);
      const isFinal = async () =>
        (await db.query(`SELECT 1 FROM task WHERE run_id = $1 AND action_id = $2 AND final`, [asking, `sleep[${at}]`]))
          .rowCount === 1;
      await until(isFinal, { what: `item ${at} has gone on` });
    }
    expect(await api.finished(asking)).toMatchObject({ status: 'completed' });
  });
});
