/** External tasks, and the death of everybody who has one in hand. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect } from 'vitest';
import { until } from '../../harness/until.ts';
import { expectProblem, taskOf } from '../../support/expect-answers.ts';
import { complete, type Leased, poll, take } from '../../support/external-worker.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { workflow } from '../../support/test-task.ts';

/** Takes a task, says so, and does nothing more. */
const TAKER = `
const [url] = process.argv.slice(1);
const asked = { topic: 'kill', worker_id: 'taker', wait_seconds: 20, lease_seconds: 2 };
const answer = await fetch(url + '/tasks/poll', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(asked) });
process.stdout.write((await answer.text()) + '\\n');
setInterval(() => undefined, 60_000);`;

describe.each(onBothBackendsInProcesses())('external tasks on $backend', ({ test }) => {
  test('the worker outside, ours and the API are killed with a task in hand: it is done once, and nothing is lost', async ({
    api,
    processes,
    db,
  }) => {
    const first = await processes.start('api', { FAILPOINTS: 'external.afterStore:exit' });
    const ours = await processes.start('worker', { FAILPOINTS: 'park.afterMove:exit' });
    const actions = [{ action_id: 'a', action_type: 'external', config: { topic: 'kill', input: 7 } }];
    const taker = spawn(process.execPath, ['--input-type=module', '-e', TAKER, api.url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(taker, 'exit');
    const run = await api.execute(await api.createWorkflow(workflow(actions)));
    const [said] = (await once(taker.stdout, 'data')) as [Buffer]; // One line is one chunk.
    const [lost] = (JSON.parse(said.toString()) as { tasks: Leased[] }).tasks;
    if (lost === undefined) throw new Error('the taker got nothing');
    taker.kill('SIGKILL');
    await gone;
    await ours.ended;

    const task = await take(api, 'kill', { worker: 'second' });
    expect(task).toMatchObject({ task_id: lost.task_id, input: 7 });
    expect(task.lease_token).not.toBe(lost.lease_token);
    expectProblem(await complete(api, lost, 'late'), 409, 'lease_lost');
    // Stored, and the API is gone before it has woken anybody or answered.
    await expect(complete(api, task, 'done')).rejects.toThrow();
    await first.ended;
    const stored = await db.query<{ status: string }>('SELECT status FROM external_task WHERE id = $1', [task.task_id]);
    expect(stored.rows).toEqual([{ status: 'completed' }]);

    await processes.compose('api');
    await processes.compose('worker');
    // Its next look at a run that moves is half a minute away.
    await db.query(`UPDATE run SET check_at = now() - interval '1 second' WHERE id = $1`, [run]);
    await until(async () => (await api.execution(run)).status === 'completed', { what: 'the reconciler has woken it' });
    const ended = await api.execution(run);
    expect(taskOf(ended, 'a')).toMatchObject({
      output: 'done',
      attempts_history: [{ attempt: 1, status: 'completed' }],
      external: { worker_id: 'second', deliveries: 2 },
    });
    expect((await complete(api, task, 'done')).status).toBe(200);
    expect(await poll(api, 'kill')).toEqual([]);
  });
});
