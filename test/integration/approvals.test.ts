/** Approvals through the public door: who may decide, what a deadline does, links, and what is kept over a retry. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import type { Execution } from '../../src/schemas/workflow-answers.ts';
import { accepted, type Client, field, list, statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';

const SECRET = 'a secret of at least thirty-two characters';
const options = { environment: { APPROVAL_LINK_SECRET: SECRET, RECONCILE_SECONDS: '1' } };

const as = (user: string, more: Record<string, string> = {}) => ({ 'X-User-ID': user, ...more });

function asking(config: object = {}, more: object = {}) {
  return {
    name: 'payment',
    parameters: [{ name: 'amount', type: 'number', default: 42 }],
    actions: [
      { action_id: 'review', action_type: 'approval', config: { message: 'Pay {{amount}}?', ...config }, ...more },
      { action_id: 'pay', action_type: 'test_task', depends_on: ['review'], config: { review: '{{review}}' } },
    ],
  };
}

async function asked(api: Client, run: string, actionId = 'review'): Promise<Execution> {
  let found = await api.execution(run);
  const waits = async () => {
    found = await api.execution(run);
    return taskOf(found, actionId).waiting_for !== undefined;
  };
  await until(waits, { what: `${actionId} asks` });
  return found;
}

async function eventsOf(db: pg.Pool, run: string): Promise<Array<{ kind: string; data: unknown }>> {
  const { rows } = await db.query<{ kind: string; data: unknown }>(
    `SELECT kind, data FROM event WHERE run_id = $1 AND kind LIKE 'approval.%' ORDER BY id`,
    [run],
  );
  return rows;
}

describe.each(onBothBackends(options))('approvals on $backend', ({ test }) => {
  test('only an approver decides, once, and whoever it was is on record', async ({ api, db }) => {
    const workflow = await api.createWorkflow(asking({ approvers: ['anna', 'ben'], timeout_seconds: 600 }));
    const run = await api.execute(workflow, {}, as('process'));
    const path = `/workflows/executions/${run}`;
    const task = taskOf(await asked(api, run), 'review');
    expect(task).toMatchObject({
      status: 'waiting',
      waiting_for: { kind: 'approval', message: 'Pay 42?', approvers: ['anna', 'ben'], escalated: false },
    });
    expect(task.waiting_for?.deadline).toEqual(expect.any(String));

    const mine = async (user: string) =>
      list(accepted(await api.get('/approvals?approver=me', as(user)), 200)).map((item) => item['execution_id']);
    expect(await mine('anna')).toContain(run);
    expect(await mine('carl')).not.toContain(run);
    expect(list(await api.get('/approvals', as('anna', { 'X-Tenant-ID': 'other' })))).toEqual([]);

    const review = { action_id: 'review', comment: 'fine' };
    expectProblem(await api.post(`${path}/approve`, review, as('carl')), 403, 'forbidden');
    expectProblem(await api.post(`${path}/approve`, review, as('anna', { 'X-Tenant-ID': 'other' })), 404, 'not_found');
    expectProblem(await api.post(`${path}/approve`, { action_id: 'pay' }, as('anna')), 404, 'not_found');
    expectProblem(await api.post(`${path}/approve`, { action_id: 'none' }, as('anna')), 404, 'not_found');
    expectProblem(await api.post('/workflows/executions/none/approve', review, as('anna')), 404, 'not_found');

    const key = { 'Idempotency-Key': 'one' };
    const answers = await Promise.all([
      api.post(`${path}/approve`, review, as('anna', key)),
      api.post(`${path}/reject`, review, as('ben')),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409]);
    const ended = await api.finished(run);
    const isApproved = answers[0]?.status === 202;
    if (isApproved) {
      expect(taskOf(ended, 'pay').output).toMatchObject({
        review: { approved: true, by: 'anna', comment: 'fine', at: expect.any(String) },
      });
      const again = accepted(await api.post(`${path}/approve`, review, as('anna', key)), 202);
      expect(again.headers.get('idempotency-replayed')).toBe('true');
    } else expect(taskOf(ended, 'review').error).toMatchObject({ code: 'approval_rejected' });
    expectProblem(await api.post(`${path}/reject`, review, as('anna')), 409, 'already_decided');
    const verdict = isApproved ? 'approved' : 'rejected';
    expect(await eventsOf(db, run)).toEqual([
      {
        kind: 'approval.requested',
        data: { approvers: ['anna', 'ben'], four_eyes: true, deadline: task.waiting_for?.deadline },
      },
      {
        kind: `approval.${verdict}`,
        data: { by: isApproved ? 'anna' : 'ben', comment: 'fine', via: 'request' },
      },
    ]);
    const decided = list(accepted(await api.get('/approvals?status=decided'), 200));
    expect(decided.find((item) => item['execution_id'] === run)).toMatchObject({
      status: verdict,
      action_id: 'review',
    });
    expect(await mine('anna')).not.toContain(run);
  });

  test('a rejection ends the run or goes on as the definition says; a retry by hand asks anew', async ({ api }) => {
    const going = await api.execute(await api.createWorkflow(asking({ on_reject: 'continue' })));
    const failing = await api.execute(await api.createWorkflow(asking()));
    for (const run of [going, failing]) {
      await asked(api, run);
      accepted(await api.post(`/workflows/executions/${run}/reject`, { action_id: 'review', comment: 'no' }), 202);
    }
    expect(taskOf(await api.finished(going), 'pay').output).toMatchObject({
      review: { approved: false, by: 'anonymous', comment: 'no' },
    });
    const failed = await api.finished(failing);
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'approval_rejected' } });
    expect(statuses(failed)).toEqual({ review: 'failed', pay: 'upstream_failed' });
    const path = `/workflows/executions/${failing}`;
    expectProblem(await api.post(`${path}/approve`, { action_id: 'review' }), 409, 'already_decided');
    accepted(await api.post(`${path}/retry`), 202);
    await asked(api, failing);
    accepted(await api.post(`${path}/approve`, { action_id: 'review' }), 202);
    expect(await api.finished(failing)).toMatchObject({ status: 'completed' });
  });

  test('a deadline approves, rejects, fails, or asks others for as long again', async ({ api, db }) => {
    const within = (on_timeout: string, more: object = {}) =>
      asking({ timeout_seconds: 1, on_timeout, approvers: ['anna'], ...more });
    const start = async (definition: object) => api.execute(await api.createWorkflow(definition));
    const [approved, rejected, failed, escalated] = await Promise.all([
      start(within('approve')),
      start(within('reject', { on_reject: 'continue' })),
      start(within('fail')),
      start(within('escalate', { escalate_to: 'chief', timeout_seconds: 10 })),
    ]);
    expect(taskOf(await api.finished(approved), 'review').output).toMatchObject({ approved: true, by: null });
    expect(taskOf(await api.finished(rejected), 'review').output).toMatchObject({ approved: false, by: null });
    expect(await api.finished(failed)).toMatchObject({ status: 'failed', error: { code: 'approval_timed_out' } });
    expectProblem(
      await api.post(`/workflows/executions/${failed}/approve`, { action_id: 'review' }, as('anna')),
      409,
      'already_decided',
    );
    await until(async () => (await eventsOf(db, escalated)).some(({ kind }) => kind === 'approval.escalated'));
    const waiting = taskOf(await api.execution(escalated), 'review').waiting_for;
    expect(waiting).toMatchObject({ approvers: ['chief'], escalated: true });
    const decide = (user: string) =>
      api.post(`/workflows/executions/${escalated}/approve`, { action_id: 'review' }, as(user));
    expectProblem(await decide('anna'), 403, 'forbidden');
    accepted(await decide('chief'), 202);
    expect(taskOf(await api.finished(escalated), 'review').output).toMatchObject({ approved: true, by: 'chief' });
    const { rows } = await db.query(`SELECT count(*)::int AS n FROM attempt WHERE status = 'failed' AND run_id = $1`, [
      failed,
    ]);
    expect(rows).toEqual([{ n: 1 }]);
  });

  test('nothing is decided before it is asked for; a paused run takes a decision, one that is cancelled does not', async ({
    api,
  }) => {
    const definition = asking();
    const later = {
      ...definition,
      actions: [{ action_id: 'first', action_type: 'wait', config: { seconds: 600 } }, ...definition.actions].map(
        (action) => (action.action_id === 'review' ? { ...action, depends_on: ['first'] } : action),
      ),
    };
    const run = await api.execute(await api.createWorkflow(later));
    await until(async () => statuses(await api.execution(run))['first'] === 'waiting');
    expectProblem(await api.post(`/workflows/executions/${run}/approve`, { action_id: 'review' }), 409, 'not_waiting');
    accepted(await api.post(`/workflows/executions/${run}/cancel`), 202);
    await api.finished(run);
    expectProblem(
      await api.post(`/workflows/executions/${run}/approve`, { action_id: 'review' }),
      409,
      'already_final',
    );

    const paused = await api.execute(await api.createWorkflow(asking()));
    await asked(api, paused);
    accepted(await api.post(`/workflows/executions/${paused}/pause`), 202);
    accepted(await api.post(`/workflows/executions/${paused}/approve`, { action_id: 'review' }), 202);
    accepted(await api.post(`/workflows/executions/${paused}/resume`), 202);
    expect(await api.finished(paused)).toMatchObject({ status: 'completed' });
  });

  test('every item of a list is asked for by itself, and decided by the id of its part', async ({ api }) => {
    const each = {
      ...{ action_id: 'each', action_type: 'approval', for_each: { items: ['a', 'b'] } },
      config: { message: 'Take {{item}}?', on_reject: 'continue' },
    };
    const run = await api.execute(await api.createWorkflow({ name: 'w', actions: [each] }));
    const open = async () =>
      list(accepted(await api.get('/approvals?page_size=200'), 200)).filter((item) => item['execution_id'] === run);
    await until(async () => (await open()).length === 2, { what: 'both items ask' });
    expect(new Set((await open()).map((item) => item['message']))).toEqual(new Set(['Take a?', 'Take b?']));
    const path = `/workflows/executions/${run}`;
    const wait = (message: string) => ({
      ...{ kind: 'approval', message, approvers: [], deadline: null, escalated: false },
      since: expect.any(String),
    });
    await until(async () => (await api.get(`${path}/parts?of=each&status=waiting`)).text.includes('each[1]'));
    expect(list(accepted(await api.get(`${path}/parts?of=each`), 200)).map((part) => part['waiting_for'])).toEqual([
      wait('Take a?'),
      wait('Take b?'),
    ]);
    expectProblem(await api.post(`${path}/approve`, { action_id: 'each[2]' }), 409, 'not_waiting');
    expectProblem(await api.post(`${path}/approve`, { action_id: 'each' }), 409, 'not_waiting');
    accepted(await api.post(`${path}/reject`, { action_id: 'each[1]' }), 202);
    accepted(await api.post(`${path}/approve`, { action_id: 'each[0]' }), 202);
    expect(taskOf(await api.finished(run), 'each').output).toMatchObject([{ approved: true }, { approved: false }]);
    expect(list(await api.get(`${path}/parts?of=each`)).map((part) => part['waiting_for'])).toEqual([
      undefined,
      undefined,
    ]);
  });

  test('what undoes an action may be somebody who says that it is done', async ({ api }) => {
    const book = { action_id: 'book', action_type: 'test_task', compensate: { action_type: 'approval' } };
    const fail = {
      ...{ action_id: 'fail', action_type: 'approval', depends_on: ['book'] },
      config: { timeout_seconds: 0.2 },
    };
    const run = await api.execute(await api.createWorkflow({ name: 'w', actions: [book, fail] }));
    const open = async () =>
      list(accepted(await api.get('/approvals?page_size=200'), 200)).filter((item) => item['execution_id'] === run);
    await until(async () => (await open()).some((item) => item['action_id'] === 'book~undo'), {
      what: 'the undoing asks',
    });
    const path = `/workflows/executions/${run}`;
    expectProblem(await api.post(`${path}/approve`, { action_id: 'fail' }), 409, 'already_decided');
    accepted(await api.post(`${path}/approve`, { action_id: 'book~undo' }), 202);
    expect(await api.finished(run)).toMatchObject({ status: 'compensated' });
  });

  test('a task of the simple door asks too', async ({ api }) => {
    const task = await api.assign({ task_type: 'approval', params: { message: 'Go?' } });
    await asked(api, task, 'task');
    accepted(await api.post(`/workflows/executions/${task}/approve`, { action_id: 'task' }, as('anna')), 202);
    expect(await api.ended(task)).toMatchObject({ status: 'completed', result: { approved: true, by: 'anna' } });
  });

  test('a link decides once, as the user it is for; to look at it decides nothing', async ({ api, db }) => {
    const run = await api.execute(
      await api.createWorkflow(asking({ approvers: ['anna@example.org'] })),
      {},
      as('process'),
    );
    await asked(api, run);
    const path = `/workflows/executions/${run}/approvals/review/links`;
    const wanted = { for: 'anna@example.org' };
    expectProblem(await api.post(path, { for: 'carl' }, as('process')), 403, 'forbidden');
    const made = accepted(await api.post(path, wanted, as('process')), 201);
    const [approve, reject] = [field(made, 'approve'), field(made, 'reject')];

    const html = { accept: 'text/html' };
    for (const link of [approve, reject]) {
      const page = accepted(await api.get(link, html), 200);
      expect(page.text).toContain('Pay 42?');
      expect(page.text).toContain('<form method="post">');
    }
    expect((await api.get(reject)).body).toMatchObject({ decision: 'rejected', for: 'anna@example.org' });
    expect(taskOf(await api.execution(run), 'review').status).toBe('waiting');

    // Neither another verdict nor another time can be written into it.
    const [body = '', mac = ''] = approve.slice('/approvals/'.length).split('.');
    const claim = Buffer.from(body, 'base64url').toString();
    const forged = Buffer.from(claim.replace('"approved"', '"rejected"')).toString('base64url');
    expectProblem(await api.post(`/approvals/${forged}.${mac}`), 404, 'not_found');

    const answers = await Promise.all([api.post(approve), api.post(approve), api.post(reject)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 410, 410]);
    expectProblem(await api.post(approve), 410, 'link_over');
    expectProblem(await api.get(reject), 410, 'link_over');
    expect((await api.get(reject, html)).text).toContain('This link was used');
    const { output } = taskOf(await api.finished(run), 'review');
    if (answers[2]?.status !== 200) expect(output).toMatchObject({ approved: true, by: 'anna@example.org' });
    expect((await eventsOf(db, run)).map(({ kind }) => kind).slice(0, 2)).toEqual([
      'approval.requested',
      'approval.link_issued',
    ]);
  });

  test('a link is over with its time, and with the epoch it was made for', async ({ api }) => {
    const run = await api.execute(await api.createWorkflow(asking({ timeout_seconds: 2 })));
    const path = `/workflows/executions/${run}`;
    await asked(api, run);
    const make = async (seconds: number) =>
      field(
        accepted(await api.post(`${path}/approvals/review/links`, { for: 'anna', expires_in_seconds: seconds }), 201),
        'approve',
      );
    const short = await make(1);
    const long = await make(600);
    expect(new Date(String((await api.get(long)).body && field(await api.get(long), 'expires_at'))).getTime()).toBe(
      new Date(taskOf(await api.execution(run), 'review').waiting_for?.deadline ?? '').getTime(),
    );
    await until(async () => (await api.get(short)).status === 410, { what: 'the time of the link is over' });
    expectProblem(await api.post(short), 410, 'link_over');
    expect(await api.finished(run)).toMatchObject({ status: 'failed' });
    accepted(await api.post(`${path}/retry`), 202);
    await asked(api, run);
    expectProblem(await api.post(long), 410, 'link_over');
    accepted(await api.post(await make(600)), 200);
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
  });
});
