/** Sessions through the API: start, read, and what their execution does. */
import { describe, expect } from 'vitest';
import { OrchestratorError } from '../../src/domain/errors.ts';
import { type Answer, accepted, field, statuses } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import {
  endedSession,
  readSession,
  type Started,
  sessionBody,
  sessionServices,
  startSession,
} from '../support/sessions.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');
const { policy, identity, features, holdTokens } = sessionServices();
const [onRedis] = onBothBackends({ features, environment: { SECRETS_KEY: KEY } });

const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
describe.each([onRedis].filter((one) => one !== undefined))('sessions on $backend', ({ test }) => {
  test('one is started under both paths, runs its steps and is read by either of its ids', async ({ api }) => {
    for (const path of ['/v1/sessions', '/v1/sessions/start']) {
      const answer = accepted(await api.post(path, sessionBody()), 202);
      const started = answer.body as Started;
      expect(started).toEqual({
        session_id: expect.stringMatching(/^session-[0-9a-f-]{36}$/),
        workflow_id: `session-${started.session_id}`,
        run_id: expect.any(String),
        task_queue: 'somagent.session.workflows',
        status: 'accepted',
      });
      const session = await endedSession(api, started.session_id);
      expect(session).toEqual({
        session_id: started.session_id,
        workflow_id: started.workflow_id,
        run_id: started.run_id,
        status: 'completed',
        history_length: expect.any(Number),
        result: {
          session_id: started.session_id,
          tenant: 'default',
          user: 'ada',
          status: 'completed',
          policy: { allowed: true, score: 0.1, severity: 'low', reasons: {} },
          token: { expires_in: 900, token_type: 'bearer' },
          slm_response: {
            completion: expect.stringContaining('somagent-demo'),
            prompt_summary: 'Summarize the report.',
            model: 'somagent-demo',
            generated_at: ISO,
            simulated: true,
          },
          audit_event_id: expect.any(String),
          completed_at: ISO,
        },
      });
      expect(session['history_length']).toBeGreaterThan(0);
      expect(await readSession(api, started.workflow_id)).toEqual(session);
    }
  });

  test('all faults of a body are named at once, under their fields', async ({ api, db }) => {
    const before = await db.query('SELECT FROM run');
    const empty = await api.post('/v1/sessions', {});
    expectProblem(empty, 400, 'invalid_request');
    expect(pathsOf(empty)).toEqual(['prompt', 'tenant', 'user']);
    const wrong = await api.post('/v1/sessions/start', {
      tenant: '',
      user_id: 7,
      prompt: null,
      model: '',
      capabilities: ['a', 3],
      mfa_code: '',
      metadata: { session_id: 'x'.repeat(248), keep_open: 'yes', requires_approval: 1, approvers: [''] },
      padding: 'x'.repeat(70_000),
    });
    expectProblem(wrong, 400, 'invalid_request');
    expect(pathsOf(wrong)).toEqual([
      '',
      'capabilities.1',
      'metadata.approvers.0',
      'metadata.keep_open',
      'metadata.requires_approval',
      'metadata.session_id',
      'mfa_code',
      'model',
      'prompt',
      'tenant',
      'user',
      'user_id',
    ]);
    expect(pathsOf(await api.post('/v1/sessions', sessionBody({ padding: 'x'.repeat(65_600) })))).toEqual(['']);
    expect((await db.query('SELECT FROM run')).rowCount).toBe(before.rowCount);
    expect((await api.post('/v1/sessions', sessionBody({ metadata: { session_id: 'x'.repeat(247) } }))).status).toBe(
      202,
    );
  });

  test('the names with _id are taken too, and every field reaches the policy, the token and the execution', async ({
    api,
  }) => {
    policy.requests.length = 0;
    identity.requests.length = 0;
    const metadata = { session_id: 'fields', volcano_queue: 'batch', volcano_wait: false, own: { a: [1] } };
    const sent = {
      tenant_id: 'acme',
      user_id: 'bob',
      prompt: 'p'.repeat(300),
      model: 'large',
      metadata: { ...metadata, mfa_code: '123456' },
      capabilities: ['read'],
      capsule_id: 'capsule-1',
      client_type: 'web',
    };
    const started = accepted(await api.post('/v1/sessions', sent, { 'X-User-ID': 'gateway' }), 202).body as Started;
    expect(started).toMatchObject({ session_id: 'fields', workflow_id: 'session-fields' });
    const session = await endedSession(api, 'fields');
    expect(session['result']).toMatchObject({
      tenant: 'acme',
      user: 'bob',
      token: { expires_in: 900, token_type: 'bearer' },
      slm_response: { model: 'large', prompt_summary: 'p'.repeat(200) },
    });
    const recorded = { ...metadata };
    expect(policy.requests).toEqual([
      { session_id: 'fields', tenant: 'acme', user: 'bob', role: 'anonymous', prompt: sent.prompt, metadata: recorded },
    ]);
    expect(identity.requests).toEqual([
      {
        tenantId: 'acme',
        userId: 'bob',
        capabilities: ['read'],
        mfaCode: '123456',
        idempotencyKey: `${started.run_id}.1.token`,
      },
    ]);
    const run = await api.execution(started.run_id);
    expect(run).toMatchObject({ tenant_id: 'default', user_id: 'gateway', status: 'completed' });
    expect(run.parameters).toMatchObject({
      session_id: 'fields',
      tenant: 'acme',
      metadata: recorded,
      request: { capsule_id: 'capsule-1', client_type: 'web' },
      job_request: { job_name: 'session-fields', queue: 'batch', wait: false },
    });
    expect(JSON.stringify(run)).not.toContain('123456');
  });

  test('an mfa_code is stored encrypted, and only until the token step has ended', async ({ api, db }) => {
    const held = holdTokens();
    const started = await startSession(api, { mfa_code: 'code-778899' });
    const codes = async () => {
      const found = await db.query<{ mfa_code: string | null }>(
        'SELECT mfa_code FROM session_run WHERE session_id = $1',
        [started.session_id],
      );
      return found.rows[0]?.mfa_code;
    };
    await until(() => identity.requests.at(-1)?.mfaCode === 'code-778899');
    expect(await codes()).toMatch(/^enc:v1:/);
    held();
    await until(async () => (await codes()) === null);
    expect((await endedSession(api, started.session_id))['status']).toBe('completed');
  });

  test('a session id belongs to the first session, also of many at once and with another body', async ({ api, db }) => {
    const bodies = Array.from({ length: 12 }, (_, n) => ({ prompt: `prompt ${n}`, metadata: { session_id: 'once' } }));
    const answers = await Promise.all(bodies.map((fields) => api.post('/v1/sessions', sessionBody(fields))));
    for (const answer of answers) expect(answer.status).toBe(202);
    expect(new Set(answers.map((answer) => field(answer, 'run_id'))).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    const again = await startSession(api, { prompt: 'another', metadata: { session_id: 'once' } });
    expect(again.run_id).toBe(field(answers[0] as Answer, 'run_id'));
    const { rowCount } = await db.query(`SELECT FROM run WHERE parameters ->> 'session_id' = 'once'`);
    expect(rowCount).toBe(1);
    await endedSession(api, 'once');
    // Of another tenant it is another one.
    const other = await startSession(api, { metadata: { session_id: 'once' } }, { 'X-Tenant-ID': 'other' });
    expect(other.run_id).not.toBe(again.run_id);
    expectProblem(await api.get('/v1/sessions/once', { 'X-Tenant-ID': 'third' }), 404, 'not_found');
    await until(async () => (await readSession(api, 'once', { 'X-Tenant-ID': 'other' }))['status'] === 'completed');
  });

  test('without a session id a repeated idempotency key returns the first session', async ({ api }) => {
    const key = { 'Idempotency-Key': 'start-1' };
    const first = await startSession(api, {}, key);
    expect(await startSession(api, { prompt: 'other' }, key)).toEqual(first);
    await endedSession(api, first.session_id);
  });

  test('a session id wins over the workflow id of another session', async ({ api }) => {
    const inner = await startSession(api, { metadata: { session_id: 'a' } });
    const outer = await startSession(api, { metadata: { session_id: 'session-a' } });
    expect((await readSession(api, 'session-a'))['run_id']).toBe(outer.run_id);
    expect((await readSession(api, 'a'))['run_id']).toBe(inner.run_id);
    expectProblem(await api.get('/v1/sessions/session-b'), 404, 'not_found');
    await Promise.all([endedSession(api, 'a'), endedSession(api, 'session-a')]);
  });

  test('one that the policy denies runs only its audit, and ends as completed with the reasons', async ({
    api,
    db,
  }) => {
    policy.next = { allowed: false, score: 0.9, severity: 'high', reasons: { policy: ['no secrets'] } };
    const started = await startSession(api);
    policy.next = undefined;
    const session = await endedSession(api, started.session_id);
    expect(session).toMatchObject({
      status: 'completed',
      result: {
        status: 'rejected',
        policy: { allowed: false, score: 0.9, severity: 'high', reasons: { policy: ['no secrets'] } },
        token: null,
        slm_response: {},
      },
    });
    const run = await api.execution(started.run_id);
    expect(statuses(run)).toEqual({
      policy: 'completed',
      approval: 'skipped',
      token: 'skipped',
      completion: 'skipped',
      memory: 'skipped',
      audit: 'completed',
      rounds: 'skipped',
    });
    const { rows } = await db.query(`SELECT * FROM audit_entry WHERE resource_id = $1`, [started.session_id]);
    expect(rows).toEqual([
      expect.objectContaining({
        action: 'session.rejected',
        decision: 'denied',
        details: expect.objectContaining({
          audit_id: (session['result'] as Record<string, unknown>)['audit_event_id'],
        }),
      }),
    ]);
  });

  test('while the policy engine is away nothing is stored', async ({ api, db }) => {
    policy.next = new OrchestratorError('unavailable', 'The policy engine is not available', { retryAfterSeconds: 2 });
    const count = async () => {
      const { rows } = await db.query(
        `SELECT (SELECT count(*) FROM run) AS runs, (SELECT count(*) FROM session_run) AS sessions,
           (SELECT count(*) FROM workflow WHERE tenant_id = 'untouched') AS workflows`,
      );
      return rows[0];
    };
    const before = await count();
    const answer = await api.post('/v1/sessions', sessionBody(), { 'X-Tenant-ID': 'untouched' });
    policy.next = undefined;
    expectProblem(answer, 503, 'unavailable');
    expect(answer.headers.get('retry-after')).toBe('2');
    expect(await count()).toEqual(before);
  });
});

function pathsOf(answer: Answer): string[] {
  const { errors } = answer.body as { errors: Array<{ path: string }> }; // A problem document.
  return errors.map(({ path }) => path).sort();
}
