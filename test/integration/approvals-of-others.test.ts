/** Approvals in the name of others: who gets a link, who may decide a run of its own, and who may stand in for approvers. */
import { describe, expect } from 'vitest';
import type { Execution } from '../../src/schemas/workflow-answers.ts';
import { accepted, type Client, field, list, openClient } from '../harness/client/client.ts';
import { startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { startSmtpServer } from '../support/smtp-server.ts';
import { hmacToken, SECRET } from '../support/tokens.ts';

const IN_AN_HOUR = Math.floor(Date.now() / 1_000) + 3_600;
const as = (sub: string, ...roles: string[]) => ({
  authorization: `Bearer ${hmacToken({ exp: IN_AN_HOUR, sub, tenant_id: 'acme', roles })}`,
});
const ANNA = 'anna@example.org';
const SENDING = { PUBLIC_URL: 'https://orchestrator.example.org' };

// What people may do is decided before any queue is asked.
const [onOne] = onBothBackends({
  environment: {
    HOST: '127.0.0.1',
    JWT_SECRET: SECRET,
    APPROVAL_LINK_SECRET: 'a secret of at least thirty-two characters',
    RECONCILE_SECONDS: '1',
  },
});

const asking = (config: object) => ({
  name: 'payment',
  actions: [
    { action_id: 'review', action_type: 'approval', config: { message: 'Pay 42?', ...config } },
    { action_id: 'pay', action_type: 'test_task', depends_on: ['review'], config: { review: '{{review}}' } },
  ],
});

/** Begun by that user. */
async function ask(api: Client, user: string, config: object): Promise<string> {
  const starter = openClient(api.url, as(user, 'editor'));
  const run = await starter.execute(await starter.createWorkflow(asking(config)));
  const waits = async () => taskOf(await starter.execution(run), 'review').waiting_for !== undefined;
  await until(waits, { what: 'review asks' });
  return run;
}

const ended = (api: Client, run: string): Promise<Execution> => openClient(api.url, as('eve', 'viewer')).finished(run);

describe.each([onOne].flatMap((one) => one ?? []))('approvals of others on $backend', ({ test }) => {
  test('who began a run gets no link that decides for another: it goes to the approver, or nowhere', async ({
    api,
    stack,
    db,
  }) => {
    const run = await ask(api, 'mallory', { approvers: [ANNA, 'ben'] });
    const path = `/workflows/executions/${run}/approvals/review/links`;
    const mallory = as('mallory', 'editor');
    const nowhere = await api.post(path, { for: ANNA }, mallory);
    expectProblem(nowhere, 409, 'links_not_configured');
    expect(nowhere.body).toMatchObject({ detail: expect.stringContaining('NOTIFICATION_WEBHOOK_URL') });

    const smtp = await startSmtpServer();
    const hook = await startService();
    try {
      const settings = { ...SENDING, SMTP_URL: smtp.url, NOTIFICATION_WEBHOOK_URL: `${hook.url}/notify` };
      const sending = openClient(`http://127.0.0.1:${(await stack.add('api', settings)).port}`);
      const mailed = accepted(await sending.post(path, { for: ANNA }, mallory), 202);
      expect(mailed.body).toEqual({ for: ANNA, sent_by: 'email', expires_at: expect.any(String) });
      // A link is its address: nothing of it is in the answer.
      expect(mailed.text + JSON.stringify([...mailed.headers])).not.toContain('/approvals/');
      expect(smtp.messages).toMatchObject([{ to: [expect.stringContaining(ANNA)] }]);

      const told = accepted(await sending.post(path, { for: 'ben' }, mallory), 202);
      expect(told.body).toEqual({ for: 'ben', sent_by: 'webhook', expires_at: expect.any(String) });
      expect(hook.calls).toMatchObject([{ path: '/notify', body: { execution_id: run, metadata: { for: 'ben' } } }]);
      // Nor does it stand anywhere that who began the run may look at.
      const [token = ''] = /(?<=\/approvals\/)[\w.-]+/.exec(JSON.stringify(hook.calls[0]?.body)) ?? [];
      const { rows } = await db.query(`SELECT data FROM event WHERE run_id = $1 AND kind = 'approval.link_issued'`, [
        run,
      ]);
      expect(rows).toMatchObject([
        { data: { for: ANNA, by: 'mallory', via: 'email' } },
        { data: { for: 'ben', via: 'webhook' } },
      ]);
      const shown = await api.get(`/workflows/executions/${run}/events`, { ...mallory, accept: 'application/json' });
      expect(shown.text).toContain('approval.link_issued');
      expect(shown.text + JSON.stringify(stack.log.lines)).not.toContain(token);

      hook.answer(() => ({ status: 503 }));
      expectProblem(await sending.post(path, { for: 'ben' }, mallory), 502, 'upstream_unavailable');

      // An approver has its own, and who has the permission has those of others.
      expectProblem(await sending.post(path, { for: ANNA }, as('carl', 'editor')), 403, 'forbidden');
      expect(
        field(accepted(await sending.post(path, { for: 'ben' }, as('ben', 'operator')), 201), 'approve'),
      ).toContain('/approvals/');
      accepted(await api.post(path, { for: ANNA }, as('chief', 'admin')), 201);

      accepted(await api.post(`/approvals/${token}`), 200);
      expect(taskOf(await ended(api, run), 'review').output).toMatchObject({ approved: true, by: 'ben' });
    } finally {
      await Promise.all([smtp.close(), hook.close()]);
    }
  });

  test('who began a run does not decide it where approvers are named, unless the action says so', async ({ api }) => {
    const approve = (run: string, user: string) =>
      api.post(`/workflows/executions/${run}/approve`, { action_id: 'review' }, as(user, 'editor'));
    const open = async (user: string) =>
      list(await api.get('/approvals?approver=me&page_size=200', as(user, 'viewer'))).map(
        (item) => item['execution_id'],
      );

    const named = await ask(api, 'anna', { approvers: ['anna', 'ben'] });
    expect([(await open('anna')).includes(named), (await open('ben')).includes(named)]).toEqual([false, true]);
    const own = await approve(named, 'anna');
    expectProblem(own, 403, 'forbidden');
    expect(own.body).toMatchObject({ detail: expect.stringContaining('four_eyes') });
    const link = `/workflows/executions/${named}/approvals/review/links`;
    expectProblem(await api.post(link, { for: 'anna' }, as('anna', 'editor')), 403, 'forbidden');
    accepted(await approve(named, 'ben'), 202);
    expect(taskOf(await ended(api, named), 'review').output).toMatchObject({ approved: true, by: 'ben' });

    const waived = await ask(api, 'anna', { approvers: ['anna'], four_eyes: false });
    accepted(await approve(waived, 'anna'), 202);
    const anybody = await ask(api, 'anna', {});
    accepted(await approve(anybody, 'anna'), 202);
    const anybodyElse = await ask(api, 'anna', { four_eyes: true });
    expectProblem(await approve(anybodyElse, 'anna'), 403, 'forbidden');
    accepted(await approve(anybodyElse, 'carl'), 202);
    for (const run of [waived, anybody, anybodyElse]) expect((await ended(api, run)).status).toBe('completed');
  });

  test('an operator does not complete or skip in place of approvers; an administrator does, and that it was an override is on record', async ({
    api,
    db,
  }) => {
    const settle = (
      run: string,
      how: 'skip' | 'complete',
      who: Record<string, string>,
      output: object = { approved: true, by: 'anna' },
    ) =>
      api.post(
        `/workflows/executions/${run}/${how}`,
        how === 'skip' ? { action_id: 'review', reason: 'urgent' } : { action_id: 'review', output, comment: 'urgent' },
        who,
      );
    const [run, other] = [
      await ask(api, 'mallory', { approvers: ['anna'] }),
      await ask(api, 'mallory', { approvers: ['anna'] }),
    ];
    for (const who of [as('mallory', 'editor'), as('olga', 'operator')]) {
      for (const how of ['skip', 'complete'] as const) {
        const refused = await settle(run, how, who);
        expectProblem(refused, 403, 'forbidden');
        expect(refused.body).toMatchObject({ detail: expect.stringContaining('approvals:override') });
      }
    }
    const admin = as('chief', 'admin');
    const unclear = await settle(run, 'complete', admin, { by: 'anna' });
    expectProblem(unclear, 400, 'invalid_request');
    expect(unclear.body).toMatchObject({ errors: [{ path: 'output.approved' }] });
    accepted(await settle(run, 'complete', admin), 200);
    accepted(await settle(other, 'skip', admin), 200);
    // Whatever was sent, it does not say that an approver has decided.
    const output = { approved: true, by: 'chief', comment: 'urgent', at: expect.any(String), overridden: true };
    const done = await ended(api, run);
    expect(taskOf(done, 'review').output).toEqual(output);
    expect(taskOf(done, 'pay').output).toMatchObject({ review: output });
    await ended(api, other);
    const { rows } = await db.query(
      `SELECT kind, data FROM event WHERE run_id = ANY ($1) AND data ? 'by_hand' ORDER BY kind`,
      [[run, other]],
    );
    const said = { by: 'chief', by_hand: true, reason: 'urgent', overridden: true };
    expect(rows).toEqual([
      { kind: 'task.completed', data: said },
      { kind: 'task.skipped', data: said },
    ]);
    const audited = list(await api.get('/audit?limit=200', admin)).filter((entry) => entry['actor'] === 'chief');
    expect(audited.map(({ action, permission }) => [action, permission])).toEqual(
      expect.arrayContaining([
        ['completeAction', 'approvals:override'],
        ['skipAction', 'approvals:override'],
      ]),
    );

    // Where nobody is named whoever may control executions may settle it, as any action.
    const anybodys = await ask(api, 'mallory', {});
    accepted(await settle(anybodys, 'complete', as('olga', 'operator'), { approved: true }), 200);
    expect(taskOf(await ended(api, anybodys), 'review').output).toEqual({ approved: true });
  });
});
