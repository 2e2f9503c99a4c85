/** The control of executions: pause and resume, skip and complete by hand, rerun from an action. */
import { describe, expect } from 'vitest';
import { accepted, type Client, list, statuses } from '../harness/client/client.ts';
import type { Reply } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

const at = (run: string) => `/workflows/executions/${run}`;
const pause = async (api: Client, run: string, reason?: string) =>
  accepted(await api.post(`${at(run)}/pause`, { ...(reason === undefined ? {} : { reason }) }), 202).body;
const resume = async (api: Client, run: string) => accepted(await api.post(`${at(run)}/resume`), 202).body;
const skip = async (api: Client, run: string, action_id: string) =>
  accepted(await api.post(`${at(run)}/skip`, { action_id, reason: 'by test' }), 200).body;
const complete = async (api: Client, run: string, action_id: string, output: unknown) =>
  accepted(await api.post(`${at(run)}/complete`, { action_id, output, comment: 'by test' }), 200).body;
const begin = async (api: Client, actions: Parameters<typeof workflow>[0]) =>
  api.execute(await api.createWorkflow(workflow(actions)));
const statusOf = async (api: Client, run: string, action: string) => taskOf(await api.execution(run), action).status;
const LONG_WAIT = { action_type: 'wait', config: { seconds: 600 } };

describe.each(onBothBackends({ workers: 2 }))('control of executions on $backend', ({ test }) => {
  test('a paused run begins nothing more, says who paused it, and goes on where it was', async ({
    api,
    service,
    db,
  }) => {
    let answer: (reply: Reply) => void = () => undefined;
    service.answer(() => new Promise<Reply>((resolve) => (answer = resolve)));
    const call = { action_id: 'call', action_type: 'http_request', config: { url: `${service.url}/slow` } };
    const run = await begin(api, [
      call,
      echo('left', ['call']),
      echo('right', ['call']),
      echo('end', ['left', 'right']),
    ]);
    await until(() => service.calls.length === 1);
    expect(await pause(api, run, 'too hot')).toMatchObject({ execution_id: run, status: 'paused' });
    expectProblem(await api.post(`${at(run)}/pause`), 409, 'conflict');
    expect(await api.execution(run)).toMatchObject({
      status: 'paused',
      paused: { by: 'anonymous', reason: 'too hot', since: expect.any(String) },
    });
    // What runs goes on to its end.
    answer({ body: { ok: true } });
    await until(async () => (await statusOf(api, run, 'call')) === 'completed');
    await until(async () => {
      const now = statuses(await api.execution(run));
      return now['left'] === 'waiting' && now['right'] === 'waiting';
    });
    expect(await api.execution(run)).toMatchObject({ status: 'paused', progress: { completed: 1 } });
    expect(await resume(api, run)).toMatchObject({ status: 'running' });
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed' });
    expect(ended).not.toHaveProperty('paused');
    const { rows } = await db.query<{ kind: string; data: object }>(
      `SELECT kind, data FROM event WHERE run_id = $1 AND kind IN ('run.paused', 'run.resumed') ORDER BY id`,
      [run],
    );
    expect(rows).toEqual([
      { kind: 'run.paused', data: { by: 'anonymous', reason: 'too hot' } },
      { kind: 'run.resumed', data: { by: 'anonymous' } },
    ]);
    const { rows: tasks } = await db.query('SELECT 1 FROM task WHERE run_id = $1 AND deliveries > 1', [run]);
    expect(tasks, 'being put off is no sign of a poison task').toEqual([]);
  });

  test('a wait that comes due while paused ends at the resume, one that does not keeps its time, and so does a backoff', async ({
    api,
    db,
  }) => {
    const retry = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 600 };
    const run = await begin(api, [
      { action_id: 'short', action_type: 'wait', config: { seconds: 1 } },
      { action_id: 'long', ...LONG_WAIT },
      echo('bad', [], { fail_with: 'no', fail_attempts: 1 }, { retry }),
      echo('quick', [], { fail_with: 'no', fail_attempts: 1 }, { retry: { ...retry, initial_delay_seconds: 1 } }),
    ]);
    const now = async () => statuses(await api.execution(run));
    await until(async () => {
      const { short, long, bad, quick } = await now();
      return short === 'waiting' && long === 'waiting' && bad === 'retrying' && quick === 'retrying';
    });
    await pause(api, run);
    // Both are due by now and have been put off.
    await until(async () => (await now())['quick'] === 'waiting');
    await until(
      async () => (await db.query('SELECT 1 FROM task WHERE run_id = $1 AND wakes_seen < 0', [run])).rowCount === 2,
    );
    expect(await now()).toEqual({ short: 'waiting', long: 'waiting', bad: 'retrying', quick: 'waiting' });
    await resume(api, run);
    await until(async () => {
      const { short, quick } = await now();
      return short === 'completed' && quick === 'completed';
    });
    expect(await now()).toMatchObject({ long: 'waiting', bad: 'retrying' });
    expect(taskOf(await api.execution(run), 'quick').attempts).toBe(2);
    await pause(api, run);
    await api.post(`${at(run)}/cancel`, { reason: 'enough' });
    expect(await api.finished(run)).toMatchObject({ status: 'cancelled', cancel_reason: 'enough' });
  });

  test('a run that has not begun can be paused, resumed and cancelled too, and so can a single task', async ({
    api,
  }) => {
    const id = await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])]));
    const kept = await api.execute(id, { delay_seconds: 600 });
    await pause(api, kept);
    expect(await resume(api, kept)).toMatchObject({ status: 'pending' });
    await pause(api, kept);
    await api.post(`${at(kept)}/cancel`);
    expect(await api.finished(kept)).toMatchObject({ status: 'cancelled' });
    const task = await api.assign({ task_type: 'wait', params: { seconds: 600 } });
    await until(async () => (await api.execution(task)).tasks[0]?.status === 'waiting');
    await pause(api, task);
    await resume(api, task);
    await complete(api, task, (await api.execution(task)).tasks[0]?.action_id ?? '', { by: 'hand' });
    expect(await api.ended(task)).toMatchObject({ status: 'completed', result: { by: 'hand' } });
  });

  test('paused and resumed again and again at any moment, a run loses nothing and does nothing twice', async ({
    api,
    service,
  }) => {
    const id = await api.createWorkflow(
      workflow(
        ['a', 'b', 'c', 'd'].map((name, n) => ({
          action_id: name,
          action_type: 'http_request',
          config: { url: `${service.url}/{{run.id}}-${name}` },
          depends_on: n === 0 ? [] : n === 3 ? ['b', 'c'] : ['a'],
        })),
      ),
    );
    await Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const run = await api.execute(id);
        for (let turn = 0; turn < 4; turn += 1) {
          for (let requests = (n + turn) % 5; requests > 0; requests -= 1) await api.get('/livez');
          const { status } = await api.post(`${at(run)}/pause`);
          // What ran may have ended it.
          if (status === 202) expect([202, 409]).toContain((await api.post(`${at(run)}/resume`)).status);
        }
        expect(await api.finished(run)).toMatchObject({ status: 'completed' });
      }),
    );
    expect(new Set(service.calls.map(({ path }) => path)).size).toBe(48);
    expect(service.calls).toHaveLength(48);
  });

  test('an action that sleeps is completed by hand: its dependents get that output, and the last one ends the run', async ({
    api,
    db,
  }) => {
    const run = await begin(api, [
      { action_id: 'asleep', ...LONG_WAIT },
      echo('reads', ['asleep'], { said: '{{asleep.word}}' }),
      { action_id: 'last', ...LONG_WAIT, depends_on: ['reads'] },
    ]);
    await until(async () => (await statusOf(api, run, 'asleep')) === 'waiting');
    expect(await complete(api, run, 'asleep', { word: 'go' })).toMatchObject({ status: 'completed' });
    expectProblem(await api.post(`${at(run)}/skip`, { action_id: 'asleep' }), 409, 'conflict');
    await until(async () => (await statusOf(api, run, 'last')) === 'waiting');
    await complete(api, run, 'last', [1, 'two']);
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed', output: { last: [1, 'two'] } });
    expect(taskOf(ended, 'reads').output).toEqual({ said: 'go' });
    expect(taskOf(ended, 'last').worker).toBe('by hand');
    const { rows } = await db.query<{ action_id: string; data: object }>(
      `SELECT action_id, data FROM event WHERE run_id = $1 AND kind = 'task.completed' AND data IS NOT NULL ORDER BY id`,
      [run],
    );
    const data = { by: 'anonymous', by_hand: true, reason: 'by test' };
    expect(rows).toEqual([
      { action_id: 'asleep', data },
      { action_id: 'last', data },
    ]);
  });

  test('what is skipped by hand counts as skipped, and what is settled before its turn only waits for its turn', async ({
    api,
    service,
  }) => {
    let answer: (reply: Reply) => void = () => undefined;
    service.answer(() => new Promise<Reply>((resolve) => (answer = resolve)));
    // `join` is held by a gate of `far`; `under` has nothing but a skipped dependency; `end` is settled before all others.
    const run = await begin(api, [
      { action_id: 'call', action_type: 'http_request', config: { url: `${service.url}/held` } },
      echo('far', ['call']),
      { action_id: 'asleep', ...LONG_WAIT },
      echo('under', ['asleep']),
      echo('join', ['far', 'asleep']),
      echo('beside', ['far']),
      echo('end', ['under', 'join', 'beside']),
    ]);
    await until(async () => service.calls.length === 1 && (await statusOf(api, run, 'asleep')) === 'waiting');
    await complete(api, run, 'far', { far: true });
    await complete(api, run, 'end', 'by hand');
    await skip(api, run, 'asleep');
    await until(async () => (await statusOf(api, run, 'under')) === 'skipped');
    expect(await api.execution(run)).toMatchObject({ status: 'running' });
    expect(statuses(await api.execution(run))).toMatchObject({ join: 'pending', beside: 'pending' });
    answer({ body: {} });
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed', output: { end: 'by hand' } });
    expect(statuses(ended)).toEqual({
      call: 'completed',
      far: 'completed',
      asleep: 'skipped',
      under: 'skipped',
      join: 'completed',
      beside: 'completed',
      end: 'completed',
    });
  });

  test('the items of a fan-out end with it: those that sleep are not waited for, those that have not begun never do', async ({
    api,
  }) => {
    const run = await begin(api, [
      {
        action_id: 'each',
        action_type: 'wait',
        config: { seconds: '{{item}}' },
        for_each: { items: [0, 600, 600, 600], max_parallel: 2 },
      },
      echo('after', ['each'], { got: '{{each}}' }),
    ]);
    const parts = async () => list(await api.get(`${at(run)}/parts?of=each`)).map(({ status }) => String(status));
    await until(async () => (await parts()).join() === 'completed,waiting,waiting,pending');
    await complete(api, run, 'each', ['by', 'hand']);
    const ended = await api.finished(run);
    expect(ended).toMatchObject({ status: 'completed', output: { after: { got: ['by', 'hand'] } } });
    expect(await parts()).toEqual(['completed', 'cancelled', 'cancelled', 'cancelled']);
  });

  test('an adapter at work on what is settled by hand is told to stop, and the run goes on at once', async ({
    api,
    service,
  }) => {
    service.answer(() => undefined);
    const run = await begin(api, [
      { action_id: 'call', action_type: 'http_request', config: { url: `${service.url}/never` } },
    ]);
    await until(() => service.calls.length === 1);
    await complete(api, run, 'call', { by: 'hand' });
    await until(() => service.calls[0]?.abandoned === true, { what: 'the connection is closed' });
    expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { call: { by: 'hand' } } });
    expect(service.calls).toHaveLength(1);
  });

  test('a completed diamond is run again from one branch, after a look at what that would do', async ({
    api,
    service,
    db,
  }) => {
    const calls = (id: string) => service.calls.filter(({ path }) => path === `/${id}`).length;
    const call = (id: string, dependsOn: string[], more: object = {}) => ({
      action_id: id,
      action_type: 'http_request',
      config: { url: `${service.url}/${id}` },
      depends_on: dependsOn,
      ...more,
    });
    const run = await begin(api, [
      call('top', []),
      call('left', ['top']),
      call('right', ['top']),
      call('end', ['left', 'right'], { idempotent: true }),
    ]);
    expectProblem(await api.post(`${at(run)}/rerun`, { action_id: 'nobody' }), 422, 'unknown_action');
    await api.finished(run);
    const planned = accepted(await api.post(`${at(run)}/rerun`, { action_id: 'left', dry_run: true }), 200).body;
    expect(planned).toMatchObject({
      dry_run: true,
      epoch: 2,
      tenant_id: 'default',
      user_id: 'anonymous',
      reopened_actions: 2,
      kept_actions: 2,
      actions: [
        { action_id: 'left', action_type: 'http_request', status: 'completed', acts_again: true },
        { action_id: 'end', action_type: 'http_request', status: 'completed', acts_again: false },
      ],
      acts_again: ['left'],
    });
    expect(await api.execution(run)).toMatchObject({ status: 'completed' });
    const rerun = accepted(await api.post(`${at(run)}/rerun`, { action_id: 'left', reason: 'wrong input' }), 202).body;
    expect(rerun).toMatchObject({ epoch: 2, reopened_actions: 2 });
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    expect(['top', 'left', 'right', 'end'].map(calls)).toEqual([1, 2, 1, 2]);
    const { rows } = await db.query(`SELECT data FROM event WHERE run_id = $1 AND kind = 'run.rerun'`, [run]);
    expect(rows).toEqual([{ data: { by: 'anonymous', reopened: 2, reason: 'wrong input', from: 'left' } }]);
  });

  test('each is refused where it cannot be, and of what is unknown', async ({ api }) => {
    const run = await begin(api, [echo('a'), failing('b')]);
    expectProblem(await api.post(`${at(run)}/complete`, { action_id: 'a' }), 400, 'invalid_request');
    await api.ended(run);
    for (const [verb, body] of [
      ['pause', {}],
      ['resume', {}],
      ['skip', { action_id: 'a' }],
      ['complete', { action_id: 'a', output: null }],
    ] as const) {
      expectProblem(await api.post(`${at(run)}/${verb}`, body), 409, 'already_final');
      expectProblem(await api.post(`${at('unknown')}/${verb}`, body), 404, 'not_found');
      expectProblem(await api.post(`${at(run)}/${verb}`, body, { 'x-tenant-id': 'another' }), 404, 'not_found');
    }
    const live = await begin(api, [{ action_id: 'asleep', ...LONG_WAIT }]);
    expectProblem(await api.post(`${at(live)}/rerun`, { action_id: 'asleep' }), 409, 'not_retryable');
    expectProblem(await api.post(`${at(live)}/skip`, { action_id: 'nobody' }), 422, 'unknown_action');
    const large = { action_id: 'asleep', output: 'x'.repeat(1_000_000) };
    expectProblem(
      await api.post(`${at(live)}/complete`, { ...large, output: [large.output, large.output] }),
      413,
      'payload_too_large',
    );
    await skip(api, live, 'asleep');
    expect(await api.finished(live)).toMatchObject({ status: 'completed', output: { asleep: null } });
  });
});
