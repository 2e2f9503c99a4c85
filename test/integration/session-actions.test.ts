/** What is done with sessions through the API, in the states for it and in the others. */
import { describe, expect } from 'vitest';
import { z } from 'zod';
import { OrchestratorError } from '../../src/domain/errors.ts';
import { defineAdapter, NonRetryableError } from '../../workers/adapter.ts';
import { accepted, type Client } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import {
  act,
  endedSession,
  readSession,
  type Started,
  sessionBody,
  sessionServices,
  startSession,
} from '../support/sessions.ts';

const { policy, identity, features, featuresWithJobs, holdTokens } = sessionServices();
const FINAL_STATE = ['cancel', 'terminate', 'pause', 'resume', 'approve', 'reject'] as const;

/** Every action that takes nothing, with what it answers. */
async function answersOf(api: Client, id: string, actions: readonly string[]): Promise<Record<string, number>> {
  const answers: Record<string, number> = {};
  for (const action of actions) answers[action] = (await act(api, id, action)).status;
  return answers;
}

/** A session whose token step does not end before `release` is called. */
async function underWay(api: Client, fields: object = {}): Promise<{ started: Started; release(): void }> {
  const release = holdTokens();
  const before = identity.requests.length;
  const started = await startSession(api, fields);
  await until(() => identity.requests.length > before);
  return { started, release };
}

describe.each(onBothBackends({ features }))('actions of sessions on $backend', ({ test }) => {
  test('another action is 404, as is an unknown session, and what an action takes is checked with every fault', async ({
    api,
  }) => {
    const { session_id: id } = await startSession(api, { metadata: { keep_open: true } });
    expectProblem(await act(api, id, 'explode'), 404, 'not_found');
    expectProblem(await act(api, 'unknown', 'cancel'), 404, 'not_found');
    expectProblem(await act(api, id, 'cancel', undefined, { 'X-Tenant-ID': 'other' }), 404, 'not_found');
    for (const [action, payload, paths] of [
      ['signal', { name: '', more: 1 }, ['payload.more', 'payload.name']],
      ['message', { prompt: '', metadata: [] }, ['payload.metadata', 'payload.prompt']],
      ['extend', { seconds: 0 }, ['payload.seconds']],
    ] as const) {
      const answer = await act(api, id, action, { payload });
      expectProblem(answer, 400, 'invalid_request');
      const { errors } = answer.body as { errors: Array<{ path: string }> }; // A problem document.
      expect(errors.map(({ path }) => path).sort()).toEqual(paths);
    }
    expect((await act(api, id, 'cancel', { reason: '', other: 1 })).status).toBe(400);
    accepted(await act(api, id, 'cancel'), 202);
    expect((await endedSession(api, id)).status).toBe('canceled');
  });

  test('a code for a token is 400 where nothing can encrypt it, and nothing is stored', async ({ api, db }) => {
    const before = await db.query('SELECT FROM session_run');
    for (const fields of [{ mfa_code: '123456' }, { metadata: { mfa_code: '123456' } }]) {
      const answer = await api.post('/v1/sessions', sessionBody(fields));
      expectProblem(answer, 400, 'invalid_request');
      expect(answer.body).toMatchObject({ errors: [{ path: 'mfa_code' }] });
    }
    expect((await db.query('SELECT FROM session_run')).rowCount).toBe(before.rowCount);
  });

  test('a session that has ended by itself takes nothing but its being read', async ({ api }) => {
    const { session_id: id } = await startSession(api);
    await endedSession(api, id);
    const wrong = { cancel: 409, terminate: 409, pause: 409, resume: 409, approve: 409, reject: 409 };
    expect(await answersOf(api, id, FINAL_STATE)).toEqual(wrong);
    expectProblem(await act(api, id, 'retry'), 409, 'not_retryable');
    expectProblem(await act(api, id, 'signal', { payload: { name: 'go' } }), 409, 'already_final');
    expectProblem(await act(api, id, 'message', { payload: { prompt: 'more' } }), 409, 'conflict');
    expectProblem(await act(api, id, 'extend'), 409, 'conflict');
    expect((await readSession(api, id)).status).toBe('completed');
  });

  test('one that is under way is cancelled, retried, terminated and retried, and ends as it would have', async ({
    api,
  }) => {
    const { started, release } = await underWay(api);
    const { session_id: id, run_id: runId } = started;
    expect(await answersOf(api, id, ['retry', 'resume', 'approve', 'reject'])).toEqual({
      retry: 409,
      resume: 409,
      approve: 409,
      reject: 409,
    });
    const cancelled = accepted(await act(api, id, 'cancel', { reason: 'no need' }), 202);
    expect(cancelled.body).toEqual({
      session_id: id,
      action: 'cancel',
      status: expect.stringMatching(/running|canceled/),
    });
    expect(await endedSession(api, id)).toMatchObject({ status: 'canceled', result: null });
    expect(await api.execution(runId)).toMatchObject({ status: 'cancelled', cancel_reason: 'no need' });
    expect(await answersOf(api, id, FINAL_STATE)).toMatchObject({ cancel: 409, terminate: 409, pause: 409 });

    accepted(await act(api, id, 'retry'), 202);
    await until(() => identity.requests.at(-1)?.idempotencyKey === `${runId}.2.token`);
    accepted(await act(api, id, 'terminate', { reason: 'enough' }), 202);
    expect(await endedSession(api, id)).toMatchObject({ status: 'terminated', result: null });
    const { tasks } = await api.execution(runId);
    expect(tasks.find(({ action_id }) => action_id === 'completion')?.status).toBe('cancelled');

    release();
    accepted(await act(api, id, 'retry'), 202);
    expect(await endedSession(api, id)).toMatchObject({ status: 'completed', result: { status: 'completed' } });
  });

  test('a paused one is running with paused, and goes on when it is resumed', async ({ api }) => {
    const { started, release } = await underWay(api);
    const { session_id: id, run_id: runId } = started;
    expect(accepted(await act(api, id, 'pause'), 202).body).toEqual({
      session_id: id,
      action: 'pause',
      status: 'running',
    });
    expectProblem(await act(api, id, 'pause'), 409, 'conflict');
    release();
    await until(async () => {
      const { tasks } = await api.execution(runId);
      return tasks.find(({ action_id }) => action_id === 'token')?.status === 'completed';
    });
    expect(await readSession(api, id)).toMatchObject({ status: 'running', paused: true, result: null });
    accepted(await act(api, id, 'resume', { reason: 'on' }), 202);
    expect(await endedSession(api, id)).toMatchObject({ status: 'completed' });
    expect(await readSession(api, id)).not.toHaveProperty('paused');
  });

  test('one whose token is refused has failed, says why, and is retried', async ({ api }) => {
    identity.next = new OrchestratorError('forbidden', 'the user lacks a capability');
    const { session_id: id } = await startSession(api);
    expect(await endedSession(api, id)).toMatchObject({
      status: 'failed',
      result: null,
      error: { code: 'forbidden', action_id: 'token' },
    });
    identity.next = undefined;
    accepted(await act(api, id, 'retry'), 202);
    expect(await endedSession(api, id)).toMatchObject({ status: 'completed' });
  });

  test('an approval is asked first, and approved or rejected by somebody who may', async ({ api, db }) => {
    const asked = { metadata: { requires_approval: true, approvers: ['eve'] } };
    for (const [action, status] of [
      ['approve', 'completed'],
      ['reject', 'rejected'],
    ] as const) {
      const { session_id: id, run_id: runId } = await startSession(api, asked);
      const open = () => db.query('SELECT FROM approval WHERE run_id = $1', [runId]);
      await until(async () => (await open()).rowCount === 1);
      expect((await readSession(api, id)).status).toBe('running');
      expectProblem(await act(api, id, action, {}, { 'X-User-ID': 'mallory' }), 403, 'forbidden');
      const decided = await act(api, id, action, { reason: 'looked at it' }, { 'X-User-ID': 'eve' });
      expect(accepted(decided, 202).body).toMatchObject({ session_id: id, action });
      expect((await act(api, id, 'approve', {}, { 'X-User-ID': 'eve' })).status).toBe(409);
      const { result } = await endedSession(api, id);
      expect(result).toMatchObject({ status });
      if (status === 'completed') continue;
      const reasons = { approval: { rejected_by: 'eve', comment: 'looked at it' } };
      expect(result).toMatchObject({ policy: { allowed: true, reasons }, token: null, slm_response: {} });
    }
  });

  test('a signal is stored with the execution of one that has not ended', async ({ api, db }) => {
    const { started, release } = await underWay(api);
    const { session_id: id, run_id: runId } = started;
    const sent = { payload: { name: 'hint', data: { n: 1 } } };
    const first = accepted(await act(api, id, 'signal', sent, { 'Idempotency-Key': 's1' }), 202);
    expect(first.body).toEqual({ session_id: id, action: 'signal', status: 'running' });
    accepted(await act(api, id, 'signal', sent, { 'Idempotency-Key': 's1' }), 202);
    expectProblem(await act(api, id, 'signal', { payload: { name: 'message', data: {} } }), 400, 'invalid_request');
    const { rows } = await db.query(`SELECT data FROM event WHERE run_id = $1 AND kind = 'signal.received'`, [runId]);
    expect(rows).toEqual([{ data: expect.objectContaining({ name: 'hint', by: 'anonymous' }) }]);
    release();
    await endedSession(api, id);
  });

  test('an open one answers each message in a round of its own, in their order, and waits again', async ({ api }) => {
    const { session_id: id, run_id: runId } = await startSession(api, { metadata: { keep_open: true } });
    const opened = await until(async () => {
      const session = await readSession(api, id);
      return session['result'] === null ? undefined : session;
    });
    expect(opened).toMatchObject({ status: 'running', result: { status: 'completed', rounds: 0 } });
    expect(new Date(String(opened['expires_at'])).getTime()).toBeGreaterThan(Date.now() + 3_000_000);
    policy.requests.length = 0;
    for (const prompt of ['first', 'second', 'third']) {
      const headers = { 'Idempotency-Key': prompt };
      accepted(await act(api, id, 'message', { payload: { prompt, metadata: { lang: 'en' } } }, headers), 202);
      accepted(await act(api, id, 'message', { payload: { prompt, metadata: { lang: 'en' } } }, headers), 202);
    }
    const answered = await until(async () => {
      const session = await readSession(api, id);
      return (session['result'] as { rounds: number }).rounds === 3 ? session : undefined;
    });
    expect(answered).toMatchObject({
      status: 'running',
      result: { status: 'completed', slm_response: { prompt_summary: 'third', simulated: true } },
    });
    expect(policy.requests[0]).toEqual({
      session_id: id,
      tenant: 'default',
      user: 'ada',
      role: 'anonymous',
      prompt: 'first',
      metadata: { lang: 'en' },
    });
    const { body } = await api.get(`/workflows/executions/${runId}/parts?of=rounds&status=completed`);
    const { items } = body as { items: Array<{ output: { slm_response: { prompt_summary: string } } }> };
    expect(items.map(({ output }) => output.slm_response.prompt_summary)).toEqual(['first', 'second', 'third']);

    policy.next = { allowed: false, reasons: { policy: ['off topic'] } };
    const denied = await act(api, id, 'message', { payload: { prompt: 'fourth' } });
    policy.next = undefined;
    expectProblem(denied, 403, 'policy_denied');
    accepted(await act(api, id, 'terminate'), 202);
    expect(await endedSession(api, id)).toMatchObject({ status: 'terminated', result: { rounds: 3 } });
    expectProblem(await act(api, id, 'message', { payload: { prompt: 'late' } }), 409, 'already_final');
    expectProblem(await act(api, id, 'extend'), 409, 'already_final');
  });

  test('an open one takes a thousand messages and no more, and answers one that it has again', async ({ api, db }) => {
    // Its rounds have not started, so all of them wait.
    const { started, release } = await underWay(api, { metadata: { keep_open: true } });
    const { session_id: id, run_id: runId } = started;
    await db.query(
      `INSERT INTO signal_message (run_id, name, payload, sent_by)
       SELECT $1, 'message', '{}', 'ada' FROM generate_series(1, 999)`,
      [runId],
    );
    const send = (prompt: string) => act(api, id, 'message', { payload: { prompt } }, { 'Idempotency-Key': prompt });
    accepted(await send('the thousandth'), 202);
    expectProblem(await send('one more'), 409, 'conflict');
    accepted(await send('the thousandth'), 202);
    const { rows } = await db.query('SELECT count(*)::int AS sent FROM signal_message WHERE run_id = $1', [runId]);
    expect(rows).toEqual([{ sent: 1_000 }]);
    accepted(await act(api, id, 'cancel'), 202);
    release();
    expect((await endedSession(api, id)).status).toBe('canceled');
  });

  test('an open one is extended and never shortened', async ({ api }) => {
    const { session_id: id } = await startSession(api, { metadata: { keep_open: true } });
    const expires = async () => new Date(String((await readSession(api, id))['expires_at'])).getTime();
    const before = await expires();
    accepted(await act(api, id, 'extend', { payload: { seconds: 60 } }), 202);
    expect(await expires()).toBe(before);
    accepted(await act(api, id, 'extend', { payload: { seconds: 7_200 } }), 202);
    expect(await expires()).toBeGreaterThan(before + 3_000_000);
    accepted(await act(api, id, 'cancel'), 202);
    await endedSession(api, id);
  });
});

const [expiring] = onBothBackends({ features, environment: { SESSION_TTL_SECONDS: '8' } });

describe.each([expiring].filter((one) => one !== undefined))('open sessions that expire on $backend', ({ test }) => {
  test('nobody sends anything: it is timed_out, and a retry opens it for as long again', async ({ api }) => {
    const { session_id: id } = await startSession(api, { metadata: { keep_open: true } });
    const expired = await endedSession(api, id);
    expect(expired).toMatchObject({ status: 'timed_out', result: { status: 'completed', rounds: 0 } });
    expectProblem(await act(api, id, 'message', { payload: { prompt: 'late' } }), 409, 'already_final');
    accepted(await act(api, id, 'retry'), 202);
    accepted(await act(api, id, 'message', { payload: { prompt: 'again' } }), 202);
    await until(async () => {
      const { result } = await readSession(api, id);
      return (result as { rounds: number }).rounds === 1;
    });
    expect(await endedSession(api, id)).toMatchObject({ status: 'timed_out', result: { rounds: 1 } });
  });
});

/** A job says what it was given, and fails where its image does not exist. */
const job = defineAdapter({
  type: 'kubernetes_job',
  description: 'A Kubernetes job that is none.',
  config: z.looseObject({ job_name: z.string(), image: z.string().optional() }),
  output: z.looseObject({}),
  usesEngine: true,
  run: async ({ job_name, image }) => {
    if (image === 'missing') throw new NonRetryableError('there is no such image');
    return { status: 'submitted', job_name, waited: true, logs: `${'x'.repeat(5_000)}end` };
  },
});
const [withJobs] = onBothBackends({
  features: featuresWithJobs(job),
  environment: { ENABLE_VOLCANO_SCHEDULER: 'true' },
});

describe.each([withJobs].filter((one) => one !== undefined))('sessions with a job on $backend', ({ test }) => {
  test('the job is run before the token, its logs are cut, and its failure fails nothing else', async ({ api }) => {
    const { session_id: id } = await startSession(api);
    const { result } = await endedSession(api, id);
    expect(result).toMatchObject({
      status: 'completed',
      volcano_job: { status: 'submitted', job_name: `session-${id}`, waited: true },
    });
    const { logs } = (result as { volcano_job: { logs: string } }).volcano_job;
    expect({ length: logs.length, end: logs.slice(-3) }).toEqual({ length: 2_048, end: 'end' });

    const failing = await startSession(api, { metadata: { volcano_image: 'missing' } });
    expect(await endedSession(api, failing.session_id)).toMatchObject({
      status: 'completed',
      result: { status: 'completed', volcano_job: { status: 'failed' }, token: { token_type: 'bearer' } },
    });
    const { tasks } = await api.execution(failing.run_id);
    expect(tasks.find(({ action_id }) => action_id === 'job')).toMatchObject({
      status: 'failed',
      error: { message: 'there is no such image' },
    });

    policy.next = { allowed: false };
    const denied = await startSession(api);
    policy.next = undefined;
    const rejected = await endedSession(api, denied.session_id);
    expect(rejected['result']).toMatchObject({ status: 'rejected' });
    expect(rejected['result']).not.toHaveProperty('volcano_job');
  });
});
