/** Tasks of workers outside, over HTTP: leases, answers, what follows them, and a real worker in Python. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { list, statuses } from '../harness/client/client.ts';
import { createRandom } from '../harness/random.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { complete, fail, heartbeat, type Leased, poll, take } from '../support/external-worker.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, QUICK_RETRY, type TestAction, workflow } from '../support/test-task.ts';

/** The lease of this task has run out. */
const expire = (db: pg.Pool, { lease_token }: Pick<Leased, 'lease_token'>) =>
  db.query(`UPDATE external_task SET lease_until = now() - interval '1 second' WHERE lease_token = $1`, [lease_token]);

const outside = (id: string, topic: string, input: unknown = null, more: object = {}): TestAction => ({
  action_id: id,
  action_type: 'external',
  config: { topic, input },
  ...more,
});

describe.each(onBothBackends({ environment: { MAX_OUTPUT_BYTES: '20000' } }))(
  'external tasks on $backend',
  ({ test }) => {
    test('a task is leased, kept, shown and completed; its output goes on, and a lost answer can be sent again', async ({
      api,
    }) => {
      const actions = [outside('count', 'words', { text: '{{text}}' }), echo('after', [], { n: '{{count.n}}' })];
      const parameters = [{ name: 'text', type: 'string' }];
      const id = await api.createWorkflow(workflow(actions, { parameters }));
      // The poll waits before there is anything.
      const waiting = take(api, 'words', { worker: 'first' });
      const run = await api.execute(id, { parameters: { text: 'a b c' } });
      const task = await waiting;
      expect(task).toMatchObject({ execution_id: run, action_id: 'count', attempt: 1, input: { text: 'a b c' } });
      expect(await poll(api, 'words')).toEqual([]);
      const kept = await heartbeat(api, task, {
        progress: { percent: 40, message: 'half of it' },
        extend_seconds: 100,
        logs: [{ level: 'info', message: 'half of it, by Bearer abcdefghijklmnopqrstuvwxyz0123', data: { words: 2 } }],
      });
      expect(kept).toMatchObject({ status: 200, body: { task_id: task.task_id, deadline: task.deadline } });
      const { lease_expires_at } = kept.body as Leased; // It has one.
      expect(Date.parse(lease_expires_at) - Date.parse(task.lease_expires_at)).toBeGreaterThan(60_000);
      // It can be leased a moment before its engine has written down that it waits.
      const shown = await until(async () => {
        const found = taskOf(await api.execution(run), 'count');
        return found.status === 'waiting' && found;
      });
      expect(shown).toMatchObject({
        progress: { percent: 40, message: 'half of it' },
        external: {
          topic: 'words',
          status: 'leased',
          worker_id: 'first',
          deliveries: 1,
          progress: { percent: 40, message: 'half of it' },
        },
      });
      const wrong = await heartbeat(api, task, { logs: [{ level: 'loud', message: 'x', more: 1 }] });
      expectProblem(wrong, 400, 'invalid_request');
      const logs = [{ level: 'warn', message: 'all of it' }];
      expect(await complete(api, task, { n: 3 }, logs)).toMatchObject({ status: 200, body: { status: 'completed' } });
      const ended = await api.finished(run);
      expect(statuses(ended)).toEqual({ count: 'completed', after: 'completed' });
      expect(taskOf(ended, 'after').output).toEqual({ n: 3 });
      expect(taskOf(ended, 'count')).toMatchObject({ attempts: 1, external: { status: 'completed' } });
      // Also when the run has ended since; another outcome is too late.
      expect((await complete(api, task, { n: 4 }, logs)).status).toBe(200);
      expectProblem(await fail(api, task, 'no'), 409, 'lease_lost');
      expectProblem(await heartbeat(api, task, { logs }), 409, 'lease_lost');
      const { body } = await api.get(`/workflows/executions/${run}/logs?action_id=count`);
      expect((body as { items: object[] }).items).toMatchObject([
        { action_id: 'count', attempt: 1, level: 'info', message: expect.not.stringContaining('abcdefgh') },
        { action_id: 'count', attempt: 1, level: 'warn', message: 'all of it' },
      ]);
      expect(taskOf(await api.execution(run), 'count').output).toEqual({ n: 3 });
    });

    test('a lease that runs out goes to the next poll; the first worker is too late, unless nobody else has come', async ({
      api,
      db,
    }) => {
      const id = await api.createWorkflow(workflow([outside('a', 'lost')]));
      const run = await api.execute(id);
      const first = await take(api, 'lost');
      // Whoever waits gets it without another notification.
      const waiting = take(api, 'lost');
      await expire(db, first);
      const second = await waiting;
      expect(second.task_id).toBe(first.task_id);
      expect(second.lease_token).not.toBe(first.lease_token);
      expectProblem(await complete(api, first, 'late'), 409, 'lease_lost');
      expectProblem(await heartbeat(api, first), 409, 'lease_lost');
      expectProblem(await fail(api, first, 'late'), 409, 'lease_lost');
      await expire(db, second);
      expect((await api.get('/external-tasks?topic=lost&status=available')).body).toMatchObject({ total: 1 });
      expect((await heartbeat(api, second)).status).toBe(200);
      expect(await poll(api, 'lost')).toEqual([]);
      await expire(db, second);
      expect((await complete(api, second, 'done')).status).toBe(200);
      const ended = await api.finished(run);
      expect(ended).toMatchObject({ status: 'completed', tasks: [{ attempts: 1, output: 'done' }] });
      expect(taskOf(ended, 'a')['external']).toMatchObject({ deliveries: 2 });
    });

    test('failures are tried again as the policy says, or not; deadlines, sizes and on_failure are those of any action', async ({
      api,
      db,
    }) => {
      const retry = QUICK_RETRY;
      const run = await api.execute(
        await api.createWorkflow(
          workflow([
            outside('twice', 'twice', null, { retry, on_failure: 'continue' }),
            outside('never', 'never', null, { retry, on_failure: 'continue' }),
            outside('named', 'named', null, { retry: { ...retry, non_retryable: ['broken'] }, on_failure: 'continue' }),
            outside('slow', 'slow', null, { timeout_seconds: 1, retry, on_failure: 'continue' }),
            outside('large', 'large', null, { on_failure: 'continue' }),
            outside('poison', 'poison', null, { retry, on_failure: 'continue' }),
          ]),
        ),
      );
      const first = await take(api, 'twice');
      expect((await fail(api, first, { message: 'the disk is full', code: 'disk_full' })).status).toBe(200);
      const again = await take(api, 'twice');
      expect(again).toMatchObject({ attempt: 2 });
      expect(again.task_id).not.toBe(first.task_id);
      await fail(api, again, 'still full');
      await fail(api, await take(api, 'never'), 'hopeless', false);
      await fail(api, await take(api, 'named'), { message: 'no', code: 'broken' });
      const slow = await take(api, 'slow');
      await complete(api, await take(api, 'large'), 'x'.repeat(30_000));
      await take(api, 'poison');
      await db.query(
        `UPDATE external_task SET deliveries = 10, lease_until = now() - interval '1 second' WHERE topic = 'poison'`,
      );
      expect(await poll(api, 'poison')).toEqual([]);
      const ended = await api.finished(run);
      const errors = Object.fromEntries(
        ended.tasks.map(({ action_id, error, attempts }) => [action_id, { error, attempts }]),
      );
      expect(errors).toMatchObject({
        twice: { attempts: 2, error: { code: 'adapter_failed', message: 'still full' } },
        never: { attempts: 1, error: { message: 'hopeless' } },
        named: { attempts: 1, error: { code: 'broken' } },
        slow: { attempts: 2, error: { code: 'timeout' } },
        large: { attempts: 1, error: { code: 'output_too_large' } },
        poison: { attempts: 1, error: { code: 'worker_crashed', message: 'leased 10 times without an outcome' } },
      });
      expect(taskOf(ended, 'twice').attempts_history).toMatchObject([{ error: { code: 'disk_full' } }, {}]);
      expectProblem(await complete(api, slow, 'late'), 409, 'lease_lost');
    });

    test('by priority, then age, several at a time; of its own tenant only, and listed by topic', async ({ api }) => {
      const id = await api.createWorkflow(workflow([outside('a', 'order', '{{run.id}}')]));
      const runs: string[] = [];
      for (const priority of [50, 50, 10, 90]) {
        runs.push(await api.execute(id, { priority }));
        await until(async () => list(await api.get('/external-tasks?topic=order')).length === runs.length);
      }
      expect(await poll(api, 'order', { tenant: 'somebody-else', max: 9 })).toEqual([]);
      const listed = await api.get('/external-tasks?topic=order&page_size=2');
      expect(listed.body).toMatchObject({
        total: 4,
        items: [{ execution_id: runs[2], status: 'available', deliveries: 0, worker_id: null }, {}],
        topics: [{ topic: 'order', available: 4, leased: 0, oldest_waiting_seconds: expect.any(Number) }],
      });
      expect((await api.get('/external-tasks', { 'x-tenant-id': 'somebody-else' })).body).toMatchObject({
        total: 0,
        topics: [],
      });
      const tasks = [...(await poll(api, 'order', { max: 3 })), ...(await poll(api, 'order', { max: 3 }))];
      expect(tasks.map(({ execution_id }) => execution_id)).toEqual([runs[2], runs[0], runs[1], runs[3]]);
      expect((await api.get('/external-tasks?topic=order')).body).toMatchObject({
        topics: [{ available: 0, leased: 4 }],
      });
      const foreign = { 'x-tenant-id': 'somebody-else' };
      const [task] = tasks;
      const body = { lease_token: task?.lease_token, output: 1 };
      expectProblem(await api.post(`/tasks/${task?.task_id}/complete`, body, foreign), 404, 'not_found');
      expectProblem(await api.post(`/tasks/nothing/complete`, body), 404, 'not_found');
      for (const each of tasks) expect((await complete(api, each, each.input)).status).toBe(200);
      for (const run of runs) expect(await api.finished(run)).toMatchObject({ output: { a: run } });
    });

    test('a run that is cancelled takes its tasks back: none is handed out, leases end, nothing is stored', async ({
      api,
    }) => {
      const id = await api.createWorkflow(workflow([outside('a', 'cancelled'), outside('b', 'cancelled')]));
      const run = await api.execute(id);
      const task = await take(api, 'cancelled');
      await until(async () => list(await api.get('/external-tasks?topic=cancelled')).length === 2);
      expect((await api.post(`/workflows/executions/${run}/cancel`)).status).toBe(202);
      expect(await poll(api, 'cancelled', { max: 5 })).toEqual([]);
      expectProblem(await heartbeat(api, task), 409, 'run_cancelled');
      expectProblem(await complete(api, task, 1), 409, 'run_cancelled');
      const ended = await api.finished(run);
      expect(ended).toMatchObject({ status: 'cancelled', tasks: [{ output: null }, { output: null }] });
      for (const { external } of ended.tasks) expect(external).toMatchObject({ status: 'closed' });
      expect(list(await api.get('/external-tasks?topic=cancelled'))).toEqual([]);

      // By hand it goes on, with tasks of its own; the old lease stays worth nothing.
      await api.post(`/workflows/executions/${run}/retry`);
      const again = [await take(api, 'cancelled'), await take(api, 'cancelled')];
      expectProblem(await complete(api, task, 1), 409, 'run_cancelled');
      for (const each of again) expect((await complete(api, each, 2)).status).toBe(200);
      expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { a: 2, b: 2 } });
    });

    test('a paused run hands nothing out; what is answered meanwhile counts when it is resumed', async ({ api }) => {
      const actions = [outside('a', 'paused'), outside('b', 'paused'), echo('after', ['a', 'b'])];
      const run = await api.execute(await api.createWorkflow(workflow(actions)));
      const task = await take(api, 'paused');
      await until(async () => list(await api.get('/external-tasks?topic=paused')).length === 2);
      expect((await api.post(`/workflows/executions/${run}/pause`)).status).toBeLessThan(300);
      expect(await poll(api, 'paused', { max: 5 })).toEqual([]);
      expect((await heartbeat(api, task)).status).toBe(200);
      expect((await complete(api, task, 1)).status).toBe(200);
      const waiting = take(api, 'paused');
      expect((await api.post(`/workflows/executions/${run}/resume`)).status).toBeLessThan(300);
      expect((await complete(api, await waiting, 2)).status).toBe(200);
      expect(await api.finished(run)).toMatchObject({ status: 'completed', progress: { completed: 3 } });
    });

    test('a client that goes away while it waits gets nothing leased, and one that stays gets it at once', async ({
      api,
      db,
    }) => {
      const id = await api.createWorkflow(workflow([outside('a', 'gone')]));
      const { hostname, port } = new URL(api.url);
      const body = JSON.stringify({ topic: 'gone', worker_id: 'leaver', wait_seconds: 30 });
      const headers = { 'content-type': 'application/json', 'content-length': String(body.length) };
      const leaver = request({ hostname, port, method: 'POST', path: '/tasks/poll', headers });
      leaver.on('error', () => undefined);
      leaver.end(body);
      await once(leaver, 'socket');
      await until(
        async () =>
          (await db.query(`SELECT 1 FROM pg_stat_activity WHERE query LIKE '%external_task%'`)).rowCount !== 0,
      );
      leaver.destroy();
      const run = await api.execute(id);
      const task = await take(api, 'gone', { worker: 'stayer' });
      expect((await complete(api, task, 1)).status).toBe(200);
      expect(taskOf(await api.finished(run), 'a')['external']).toMatchObject({ deliveries: 1, worker_id: 'stayer' });
    });

    test('what cannot work is refused: an output that is none, a topic that is none, secrets in what is stored', async ({
      api,
    }) => {
      const run = await api.execute(await api.createWorkflow(workflow([outside('a', 'refused')])));
      const task = await take(api, 'refused');
      for (const output of ['{"a":1e400}', '{"__proto__":1}', '"\\u0000"', undefined]) {
        const given = output === undefined ? '' : `,"output":${output}`;
        const answer = await api.send(
          'POST',
          `/tasks/${task.task_id}/complete`,
          `{"lease_token":"${task.lease_token}"${given}}`,
        );
        expectProblem(answer, 400, 'invalid_request');
      }
      expectProblem(await api.post('/tasks/poll', { topic: 'a b', worker_id: '' }), 400, 'invalid_request');
      // Nothing was lost by it.
      expect((await complete(api, task, { '': [1, null, 'ü'] })).status).toBe(200);
      expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { a: { '': [1, null, 'ü'] } } });
      const secret = outside('a', 'refused', { key: '{{secrets.KEY}}' });
      const refused = await api.post('/workflows', workflow([secret, outside('b', 'no topic')]));
      expectProblem(refused, 422, 'definition_invalid');
      expect(refused.body).toMatchObject({
        errors: [
          { path: 'actions.0.config', message: expect.stringContaining('secrets') },
          { path: 'actions.1.config.topic', message: expect.stringContaining('letters') },
        ],
      });
    });

    test('many pollers that die at random: every task is completed once, and no output is lost', async ({
      api,
      db,
    }) => {
      const TASKS = 30;
      const id = await api.createWorkflow(
        workflow([outside('a', 'many', '{{n}}')], { parameters: [{ name: 'n', type: 'integer' }] }),
      );
      const answer = await api.post(`/workflows/${id}/executions`, {
        items: Array.from({ length: TASKS }, (_, n) => ({ parameters: { n } })),
      });
      const runs = list(answer).map((item) => String(item['execution_id']));
      const seed = Date.now() % 1_000_000;
      const random = createRandom(seed);
      const accepted = new Map<string, unknown[]>();
      const dead: Leased[] = [];
      let at = 0;
      let cameBack = 0;
      const finish = async (task: Leased) => {
        at += 1;
        const output = { of: task.input, by: at };
        const { status } = await complete(api, task, output);
        if (status === 200) accepted.set(task.execution_id, [...(accepted.get(task.execution_id) ?? []), output]);
        else expect(status).toBe(409);
      };
      const worker = async () => {
        while (accepted.size < TASKS) {
          for (const task of await poll(api, 'many', { max: 3, wait: 0.1 })) {
            if (random.chance(0.3)) {
              dead.push(task);
              await expire(db, task);
            } else await finish(task);
          }
          // One that was only slow comes back: before the next one has its task, or after, or when that has ended.
          const [slow] = random.chance(0.5) ? dead.splice(random.whole(0, dead.length), 1) : [];
          if (slow === undefined) continue;
          cameBack += 1;
          await finish(slow);
        }
      };
      await Promise.all([worker(), worker(), worker(), worker()]);
      for (const task of dead) {
        expectProblem(await complete(api, task, 'from the grave'), 409, 'lease_lost');
      }
      for (const [n, run] of runs.entries()) {
        expect(accepted.get(run), `seed ${seed}`).toHaveLength(1);
        const ended = await api.finished(run);
        expect(ended.output).toEqual({ a: accepted.get(run)?.[0] });
        expect(ended.output).toMatchObject({ a: { of: n } });
        expect(taskOf(ended, 'a').attempts_history).toHaveLength(1);
      }
      expect(dead.length + cameBack).toBeGreaterThan(0);
    });

    test('the worker of examples/external-worker does its work, tells how far it is, and says what another attempt cannot help', async ({
      api,
    }) => {
      const id = await api.createWorkflow(
        workflow([outside('count', 'word-count', { text: '{{text}}' })], {
          parameters: [{ name: 'text', type: 'string' }],
        }),
      );
      // Without python3 this fails at the start of the worker, and says so.
      const start = () => {
        const child = spawn('python3', ['examples/external-worker/worker.py'], {
          env: { PATH: process.env['PATH'], ORCHESTRATOR_URL: api.url },
          stdio: ['ignore', 'inherit', 'inherit'],
        });
        const ended = once(child, 'exit');
        return { child, ended };
      };
      const { child, ended } = start();
      try {
        const runs = await Promise.all(['a bb ccc', ''].map((text) => api.execute(id, { parameters: { text } })));
        const [good, bad] = await Promise.all(runs.map((run) => api.finished(run)));
        expect(good).toMatchObject({ status: 'completed', output: { count: { words: 3, longest: 'ccc' } } });
        expect(good?.tasks[0]).toMatchObject({ external: { progress: { percent: 50, message: '3 words' } } });
        expect(bad).toMatchObject({ status: 'failed', error: { message: expect.stringContaining('empty') } });
        expect(bad?.tasks[0]).toMatchObject({ attempts: 1 });
      } finally {
        child.kill('SIGKILL');
        await ended;
      }
    });
  },
);
