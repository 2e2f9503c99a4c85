/** Processes that die while a run is paused, or between what a door commits and what it does in the queue. */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, onTestFinished } from 'vitest';
import { accepted, statuses } from '../harness/client/client.ts';
import type { Reply } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';
import { calling, hasEnded, ONE_AT_A_TIME } from '../support/scenario.ts';
import { echo, workflow } from '../support/test-task.ts';

const at = (run: string) => `/workflows/executions/${run}`;
const LONG_WAIT = { action_type: 'wait', config: { seconds: 600 } };

describe.each(onBothBackendsInProcesses())('control of executions on $backend', ({ test }) => {
  test('a worker that is killed while its run is paused costs no more than its attempt, and begins nothing', async ({
    processes,
    api,
    service,
    db,
  }) => {
    let answer: (reply: Reply) => void = () => undefined;
    service.answer(() => new Promise<Reply>((resolve) => (answer = resolve)));
    await processes.compose('api');
    const first = await processes.start('worker', ONE_AT_A_TIME);
    const run = await api.execute(await api.createWorkflow(workflow([calling(service, 'a'), echo('b', ['a'])])));
    await until(() => service.calls.length === 1);
    accepted(await api.post(`${at(run)}/pause`), 202);
    await first.end('SIGKILL');
    // Its job stalls, is delivered to another one and put off; that one dies as soon as the job is asleep.
    const second = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: 'park.afterMove:exit' });
    await hasEnded(second);
    expect(await api.execution(run)).toMatchObject({ status: 'paused' });
    expect(statuses(await api.execution(run))).toEqual({ a: 'waiting', b: 'pending' });
    expect(service.calls).toHaveLength(1);
    await processes.compose('worker');
    accepted(await api.post(`${at(run)}/resume`), 202);
    await until(() => service.calls.length === 2);
    answer({ body: {} });
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(new Set(service.calls.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    const { rows } = await db.query('SELECT attempt, status FROM attempt WHERE run_id = $1 AND action_id = $2', [
      run,
      'a',
    ]);
    expect(rows).toEqual([{ attempt: 1, status: 'completed' }]);
  });

  test('an API that dies between its commit and the queue is made up for by the reconciler', async ({
    processes,
    api,
    service,
  }) => {
    let answer: (reply: Reply) => void = () => undefined;
    service.answer(() => new Promise<Reply>((resolve) => (answer = resolve)));
    const first = await processes.start('api', { FAILPOINTS: 'settle.afterCommit:exit' });
    await processes.compose('worker');
    const id = await api.createWorkflow(
      workflow([
        { action_id: 'asleep', ...LONG_WAIT },
        calling(service, 'call', ['asleep']),
        echo('next', ['call']),
        { action_id: 'last', ...LONG_WAIT, depends_on: ['next'] },
      ]),
    );
    const run = await api.execute(id);
    const isWaiting = (actionId: string) =>
      until(async () => taskOf(await api.execution(run), actionId).status === 'waiting');
    const settle = (action_id: string) => api.post(`${at(run)}/complete`, { action_id, output: action_id });
    await isWaiting('asleep');
    await expect(settle('asleep')).rejects.toThrow();
    await hasEnded(first);
    const second = await processes.start('api', { FAILPOINTS: 'resume.afterStatus:exit' });
    await until(() => service.calls.length === 1);
    accepted(await api.post(`${at(run)}/pause`), 202);
    answer({ body: {} });
    await isWaiting('next');
    await expect(api.post(`${at(run)}/resume`)).rejects.toThrow();
    await hasEnded(second);
    const third = await processes.start('api', { FAILPOINTS: 'settle.afterCommit:exit' });
    await isWaiting('last');
    // It is the acknowledgement of its job that ends the run.
    await expect(settle('last')).rejects.toThrow();
    await hasEnded(third);
    await processes.compose('api');
    expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { last: 'last' } });
    expect(service.calls).toHaveLength(1);
  });
});

// The commit is the same on both.
const redisOnly = onBothBackendsInProcesses().filter(({ backend }) => backend === 'redis');

describe.each(redisOnly)('a pause of a tree of executions on $backend', ({ test }) => {
  test('begins nothing below it, and a resume lets it all go on; a child that was paused by itself stays so', async ({
    processes,
    api,
    service,
    db,
  }) => {
    const open: Array<(reply: Reply) => void> = [];
    service.answer(() => new Promise<Reply>((resolve) => open.push(resolve)));
    // What is not answered would keep a worker from ending.
    onTestFinished(() => answerAll());
    const answerAll = () => {
      for (const answer of open.splice(0)) answer({ body: {} });
    };
    await processes.compose('api');
    await processes.compose('worker');
    const leaf = await api.createWorkflow(workflow([calling(service, 'a'), calling(service, 'b', ['a'])]));
    const sub = (action_id: string, workflow_id: string) => ({
      action_id,
      action_type: 'workflow',
      config: { workflow_id },
    });
    const middle = await api.createWorkflow(workflow([sub('leaf', leaf)]));
    const top = await api.createWorkflow(workflow([sub('busy', middle)]));
    const sleeper = await api.createWorkflow(workflow([{ action_id: 'wait', ...LONG_WAIT }]));
    const both = await api.createWorkflow(workflow([sub('top', top), sub('sleeper', sleeper)]));
    const run = await api.execute(both);
    const childOf = (parent: string, actionId: string) =>
      until(async () => taskOf(await api.execution(parent), actionId).child?.execution_id);
    const topRun = await childOf(run, 'top');
    const middleRun = await childOf(topRun, 'busy');
    const leafRun = await childOf(middleRun, 'leaf');
    const sleeperRun = await childOf(run, 'sleeper');
    await until(() => service.calls.length === 1);
    accepted(await api.post(`${at(sleeperRun)}/pause`), 202);
    accepted(await api.post(`${at(run)}/pause`, { reason: 'audit' }), 202);
    const states = async (...runs: string[]) => {
      const { rows } = await db.query('SELECT id, status, paused_with_parent AS held FROM run');
      const known = new Map(rows.map(({ id, status, held }) => [id, held ? `${status} with its parent` : status]));
      return runs.map((id) => known.get(id));
    };
    const held = 'paused with its parent';
    expect(await states(leafRun, middleRun, topRun, run, sleeperRun)).toEqual([held, held, held, 'paused', 'paused']);
    expect((await api.get(`${at(leafRun)}/why`)).body).toMatchObject({
      root: { cause: { code: 'run_paused', by: 'anonymous', reason: 'audit', paused_with: run } },
    });
    const refused = await api.post(`${at(leafRun)}/resume`);
    expect(refused).toMatchObject({ status: 409, body: { detail: expect.stringContaining(middleRun) } });

    answerAll();
    await until(async () => taskOf(await api.execution(leafRun), 'b').status === 'waiting');
    expect(taskOf(await api.execution(leafRun), 'a').status).toBe('completed');
    // The worker is there, and begins other things.
    expect(await api.run(workflow([echo('other')]))).toMatchObject({ status: 'completed' });
    expect(service.calls).toHaveLength(1);

    accepted(await api.post(`${at(leafRun)}/pause`), 202);
    accepted(await api.post(`${at(run)}/resume`), 202);
    const expected = ['paused', 'waiting', 'waiting', 'waiting', 'paused'];
    await until(async () => isDeepStrictEqual(await states(leafRun, middleRun, topRun, run, sleeperRun), expected), {
      what: 'what waits for a paused child says so',
    });
    expect(service.calls).toHaveLength(1);
    accepted(await api.post(`${at(run)}/pause`), 202);
    expect(await api.post(`${at(leafRun)}/resume`)).toMatchObject({ status: 202, body: { status: 'paused' } });
    expect(await states(leafRun, topRun, sleeperRun)).toEqual([held, held, 'paused']);
    accepted(await api.post(`${at(run)}/resume`), 202);
    await until(() => service.calls.length === 2);
    answerAll();
    expect(await api.finished(topRun)).toMatchObject({ status: 'completed' });
    expect(service.calls).toHaveLength(2);

    accepted(await api.post(`${at(run)}/pause`), 202);
    await api.post(`${at(run)}/cancel`);
    expect(await api.finished(run)).toMatchObject({ status: 'cancelled' });
    expect(await states(topRun, sleeperRun)).toEqual(['completed', 'cancelled']);
  });
});

describe.each(redisOnly)('an action settled by hand on $backend', ({ test }) => {
  test('a success that comes after its action was completed by hand is kept as a late effect', async ({
    processes,
    api,
    service,
    db,
  }) => {
    await processes.compose('api');
    await processes.compose('worker', { FAILPOINTS: 'worker.afterExecute:sleep(1500)@1' });
    const run = await api.execute(await api.createWorkflow(workflow([calling(service, 'a'), echo('b', ['a'])])));
    await until(() => service.calls.length === 1);
    accepted(await api.post(`${at(run)}/complete`, { action_id: 'a', output: { by: 'hand' } }), 200);
    expect(taskOf(await api.finished(run), 'a').output).toEqual({ by: 'hand' });
    const late = () => db.query('SELECT action_id, attempt FROM late_effect WHERE run_id = $1', [run]);
    await until(async () => (await late()).rowCount === 1);
    expect((await late()).rows).toEqual([{ action_id: 'a', attempt: 1 }]);
  });
});
