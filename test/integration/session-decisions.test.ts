/** Sessions beside a real policy engine: what it is asked about them, what its denial stops, and what holds without it. */
import { afterAll, describe, expect } from 'vitest';
import { type Answer, accepted, type Client, field, openClient, statuses } from '../harness/client/client.ts';
import type { Environment } from '../harness/processes/process.ts';
import { AWAY, faultyAnswers } from '../harness/services/faulty-answers.ts';
import { startIdentityService } from '../harness/services/identity-service.ts';
import { ALLOWED, denied, startPolicyEngine } from '../harness/services/policy-engine.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { act, endedSession, readSession, sessionBody, startSession } from '../support/sessions.ts';
import type { Stack } from '../support/stack.ts';

const engine = await startPolicyEngine();
const identity = await startIdentityService();
afterAll(() => Promise.all([engine.close(), identity.close()]));

// No action may call anything: both services are the operator's, and are asked all the same.
const environment = {
  ...{ POLICY_ENGINE_URL: `${engine.url}/v1/evaluate`, POLICY_TIMEOUT_MS: '20000', EGRESS_POLICY: 'none' },
  SECRETS_KEY: Buffer.alloc(32, 7).toString('base64'),
};
// The API has none of it, so that it takes requests without credentials.
const worker = { IDENTITY_SERVICE_URL: identity.url, IDENTITY_TIMEOUT_MS: '20000' };
const FAULTS = Object.entries(faultyAnswers(ALLOWED));
const MAO = { tenant: 'acme', initiator: 'ada', directives: [{ agent_id: 'reader', goal: 'facts', prompt: 'Read.' }] };
const OPEN = { metadata: { keep_open: true } };

/** As at first, and nothing was asked yet. */
function begin(): void {
  engine.calls.length = 0;
  engine.decide(() => ALLOWED);
  identity.behave();
}

async function withApi<T>(stack: Stack, settings: Environment, work: (api: Client) => Promise<T>): Promise<T> {
  const { port, stop } = await stack.add('api', settings);
  begin();
  try {
    return await work(openClient(`http://127.0.0.1:${port}`));
  } finally {
    await stop();
  }
}

/** An open session that waits for its first message. */
async function openSession(api: Client): Promise<string> {
  const { session_id: id, run_id: runId } = await startSession(api, OPEN);
  await until(async () => (await api.execution(runId)).status === 'waiting');
  return id;
}

/** With an open session, which is cancelled however that ends. */
async function withOpenSession(api: Client, work: (id: string) => Promise<void>): Promise<void> {
  begin();
  const id = await openSession(api);
  engine.calls.length = 0;
  try {
    await work(id);
  } finally {
    begin();
    accepted(await act(api, id, 'cancel'), 202);
    await endedSession(api, id);
  }
}

function endedMao(api: Client, id: string): Promise<string> {
  return until(async () => {
    const { status } = accepted(await api.get(`/v1/mao/${id}`), 200).body as { status: string };
    return status === 'running' ? undefined : status;
  });
}

async function decisions(api: Client): Promise<Record<string, number>> {
  const { text } = await api.get('/metrics');
  const lines = [...text.matchAll(/^orchestrator_policy_decisions_total\{.*?result="(\w+)".*?\} (\d+)$/gm)];
  return Object.fromEntries(lines.map(([, result = '', count]) => [result, Number(count)]));
}

/** How many rows there are of what a start or a message stores. */
async function stored(db: Stack['db']): Promise<object> {
  const counts = ['run', 'session_run', 'task', 'workflow'].map(
    (table) => `(SELECT count(*) FROM ${table}) AS ${table}`,
  );
  const messages = `(SELECT count(*) FROM event WHERE kind = 'signal.received') AS messages`;
  const { rows } = await db.query<object>(`SELECT ${[...counts, messages].join(', ')}`);
  return rows[0] ?? {};
}

/** All that asks the engine about a prompt. */
const prompting = (api: Client, open: string): Array<() => Promise<Answer>> => [
  () => api.post('/v1/sessions', sessionBody()),
  () => api.post('/v1/sessions/start', sessionBody(OPEN)),
  () => api.post('/v1/mao/start', MAO),
  () => act(api, open, 'message', { payload: { prompt: 'More.' } }),
];

const backends = onBothBackends({ environment, worker }).filter(({ backend }) => backend === 'postgres');
describe.each(backends)('decisions about sessions on $backend', ({ test }) => {
  test('the engine gets all six fields before anything is stored, and nothing that is secret', async ({ api, db }) => {
    begin();
    const before = await stored(db);
    const found: object[] = [];
    engine.answer(async () => {
      found.push(await stored(db));
      return { body: { ...ALLOWED, severity: 'medium' } };
    });
    const metadata = { lang: 'en', own: { a: [1, null] }, mfa_code: '246810' };
    const { session_id: id } = await startSession(api, { tenant: 'acme', metadata });
    const { result } = await endedSession(api, id);
    expect(found).toEqual([before]);
    expect(engine.calls.map(({ method, path }) => [method, path])).toEqual([['POST', '/v1/evaluate']]);
    expect(engine.questions()).toEqual([
      {
        ...{ session_id: id, tenant: 'acme', user: 'ada', role: 'anonymous', prompt: 'Summarize the report.' },
        metadata: { lang: 'en', own: { a: [1, null] } },
      },
    ]);
    expect(result).toMatchObject({ status: 'completed', policy: { ...ALLOWED, severity: 'medium' } });
    expect((result as { policy: object }).policy).not.toHaveProperty('failed_open');
  });

  test('a session that is there already is no second decision', async ({ api }) => {
    begin();
    const again = { metadata: { session_id: 'decided-once' } };
    const first = await startSession(api, again);
    engine.decide(() => denied('everything'));
    expect(await startSession(api, { ...again, prompt: 'Something else.' })).toEqual(first);
    expect(await endedSession(api, 'decided-once')).toMatchObject({ result: { status: 'completed' } });
    expect(engine.calls).toHaveLength(1);
  });

  test('a denied one is 202 and ends as completed with the reasons: only its audit is run, and no token is issued', async ({
    api,
    db,
  }) => {
    begin();
    engine.decide(() => denied('no secrets', 'not on Sundays'));
    const issued = identity.issued.size;
    const asked = { requires_approval: true, keep_open: true };
    const { session_id: id, run_id: runId } = await startSession(api, { metadata: asked });
    const session = await endedSession(api, id);
    expect(session).toMatchObject({
      status: 'completed',
      result: {
        ...{ status: 'rejected', token: null, slm_response: {} },
        policy: denied('no secrets', 'not on Sundays'),
      },
    });
    expect(session['result']).not.toHaveProperty('volcano_job');
    const steps = statuses(await api.execution(runId));
    const { policy, audit, ...others } = steps;
    expect({ policy, audit }).toEqual({ policy: 'completed', audit: 'completed' });
    expect(Object.keys(others).sort()).toEqual(['approval', 'completion', 'memory', 'rounds', 'token']);
    expect(new Set(Object.values(others))).toEqual(new Set(['skipped']));
    expect(identity.issued.size).toBe(issued);
    const { rows } = await db.query('SELECT action, decision FROM audit_entry WHERE resource_id = $1', [id]);
    expect(rows).toEqual([{ action: 'session.rejected', decision: 'denied' }]);
    begin();
    expectProblem(await act(api, id, 'message', { payload: { prompt: 'More.' } }), 409, 'already_final');
  });

  test.for(FAULTS)(
    'an engine that %s: 503 with a time to come back, and no row of a session, of agents or of a message',
    async ([fault, answer], { api, stack, db }) => {
      const settings: Environment = fault === 'never answers' ? { POLICY_TIMEOUT_MS: '200' } : {};
      await withOpenSession(api, (open) =>
        withApi(stack, settings, async (other) => {
          engine.answer(answer);
          const before = await stored(db);
          const requests = prompting(other, open);
          for (const request of requests) expectUnavailable(await request());
          expect(engine.calls).toHaveLength(requests.length);
          expect(await stored(db)).toEqual(before);
          expect(await decisions(other)).toEqual({ unavailable: requests.length });
          // It is read all the same.
          expect((await readSession(other, open)).status).toBe('running');
        }),
      );
    },
  );

  test('an engine that is away, or redirects to one that allows everything, decides nothing', async ({
    api,
    stack,
    db,
  }) => {
    await withOpenSession(api, async (open) => {
      const before = await stored(db);
      await withApi(stack, { POLICY_ENGINE_URL: AWAY }, async (other) => {
        for (const request of prompting(other, open)) expectUnavailable(await request());
        for (const action of ['retry', 'extend', 'cancel']) expectUnavailable(await act(other, open, action));
      });
      // Its actions may call anything.
      await withApi(stack, { EGRESS_POLICY: 'internal' }, async (other) => {
        const location = `${engine.url}/v2/evaluate`;
        engine.answer(({ path }) =>
          path === '/v2/evaluate' ? { body: ALLOWED } : { status: 307, headers: { location } },
        );
        for (const request of prompting(other, open)) expectUnavailable(await request());
        expect(new Set(engine.calls.map(({ path }) => path))).toEqual(new Set(['/v1/evaluate']));
      });
      expect(await stored(db)).toEqual(before);
    });
  });

  test('with POLICY_FAIL_OPEN its silence allows, and says so in the session and in the audit; its denial denies', async ({
    api,
    stack,
    db,
  }) => {
    await withApi(stack, { POLICY_FAIL_OPEN: 'true' }, async (open) => {
      engine.answer(() => ({ status: 500 }));
      const tenant = { 'x-tenant-id': 'open' };
      const { session_id: id } = await startSession(open, { tenant: 'open', ...OPEN }, tenant);
      const result = (given: object) =>
        until(async () => {
          const { result: found } = await readSession(open, id, tenant);
          return expect.objectContaining(given).asymmetricMatch(found) ? (found as object) : undefined;
        });
      const failedOpen = { allowed: true, score: null, severity: null, reasons: {}, failed_open: true };
      expect(await result({ rounds: 0 })).toMatchObject({ status: 'completed', policy: failedOpen });
      accepted(await act(open, id, 'message', { payload: { prompt: 'More.' } }, tenant), 202);
      expect(await result({ rounds: 1 })).toMatchObject({ policy: failedOpen });
      const { rows } = await db.query<{ action: string; details: { policy?: object } }>(
        `SELECT action, actor, details FROM audit_entry WHERE tenant_id = 'open' ORDER BY seq`,
      );
      expect(rows.filter(({ action }) => action === 'policy.failed_open')).toHaveLength(2);
      expect(rows.find(({ action }) => action === 'session.completed')?.details).toMatchObject({
        policy: { failed_open: true },
      });
      engine.decide(() => denied('no'));
      const message = await act(open, id, 'message', { payload: { prompt: 'More.' } }, tenant);
      expectProblem(message, 403, 'policy_denied');
      expect(await decisions(open)).toEqual({ failed_open: 2, denied: 1 });
      // That one is denied as well: by the hook.
      expectProblem(await act(open, id, 'cancel', {}, tenant), 403, 'policy_denied');
      begin();
      accepted(await act(api, id, 'cancel', {}, tenant), 202);
      await until(async () => (await readSession(api, id, tenant)).status === 'canceled');
    });
  });

  test('a denied message and denied agents are 403 with the reasons, and leave no row', async ({ api, db }) => {
    await withOpenSession(api, async (open) => {
      engine.decide(() => denied('off topic'));
      const before = await stored(db);
      const key = { 'Idempotency-Key': 'denied-1', 'X-User-ID': 'gateway' };
      const sent = { payload: { prompt: 'More.', metadata: { lang: 'en' } } };
      for (const answer of [
        await act(api, open, 'message', sent, key),
        await api.post('/v1/mao/start', { ...MAO, metadata: { own: 1 } }, key),
      ]) {
        expectProblem(answer, 403, 'policy_denied');
        expect(answer.body).toMatchObject({ detail: 'The policy denies this: off topic' });
      }
      expect(await stored(db)).toEqual(before);
      expect(engine.questions()).toEqual([
        {
          ...{ session_id: open, tenant: 'default', user: 'ada', role: 'anonymous', prompt: 'More.' },
          metadata: { lang: 'en' },
        },
        {
          ...{ session_id: expect.stringMatching(/^mao-/), tenant: 'acme', user: 'ada', role: 'anonymous' },
          prompt: 'Read.',
          metadata: { own: 1, directives: [expect.objectContaining({ agent_id: 'reader', goal: 'facts' })] },
        },
      ]);
      begin();
      // What their key named was not done.
      accepted(await act(api, open, 'message', sent, key), 202);
      const started = accepted(await api.post('/v1/mao/start', MAO, key), 202);
      expect(await endedMao(api, field(started, 'run_id'))).toBe('completed');
      await until(async () => {
        const { result } = await readSession(api, open);
        return (result as { rounds: number }).rounds === 1;
      });
    });
  });

  test('other actions are decided as the operation that they are, and change nothing when they are denied', async ({
    api,
  }) => {
    begin();
    identity.answer(() => ({ status: 403 }));
    const { session_id: id, run_id: runId } = await startSession(api);
    expect((await endedSession(api, id)).status).toBe('failed');
    identity.behave();
    engine.calls.length = 0;
    engine.decide(() => denied('once is enough'));
    const before = await api.execution(runId);
    expectProblem(await act(api, id, 'retry', {}, { 'x-request-id': 'retry-7' }), 403, 'policy_denied');
    expect(await api.execution(runId)).toEqual(before);
    expect(engine.questions()).toEqual([
      {
        ...{ session_id: 'retry-7', tenant: 'default', user: 'anonymous', role: 'anonymous' },
        prompt: 'Execute an action on a session',
        metadata: { operation: 'actOnSession', resource: { session_id: id, action: 'retry' } },
      },
    ]);
    engine.decide(() => ALLOWED);
    accepted(await act(api, id, 'retry'), 202);
    expect(await endedSession(api, id)).toMatchObject({ status: 'completed', result: { status: 'completed' } });
    expect(engine.calls).toHaveLength(2);
  });

  test('each start, message and action is one decision, whichever operations the engine decides', async ({ stack }) => {
    for (const POLICY_SCOPE of ['sessions', 'all']) {
      await withApi(stack, { POLICY_SCOPE }, async (api) => {
        for (const path of ['/v1/sessions', '/v1/sessions/start']) {
          const started = accepted(await api.post(path, sessionBody()), 202);
          await endedSession(api, field(started, 'session_id'));
        }
        expect(engine.questions().map(({ prompt }) => prompt)).toEqual(Array(2).fill('Summarize the report.'));
        await endedMao(api, field(accepted(await api.post('/v1/mao/start', MAO), 202), 'run_id'));
        expect(engine.calls).toHaveLength(3);
        const open = await openSession(api);
        accepted(await act(api, open, 'message', { payload: { prompt: 'More.' } }), 202);
        expect(engine.questions().at(-1)).toMatchObject({ session_id: open, prompt: 'More.' });
        accepted(await act(api, open, 'cancel'), 202);
        await endedSession(api, open);
        expect(engine.questions().at(-1)).toMatchObject({ metadata: { operation: 'actOnSession' } });
        expect(engine.calls).toHaveLength(6);
        expect(await decisions(api)).toEqual({ allowed: 6 });
      });
    }
  });

  test('a decision that holds for a while is used again for the same prompt of another session', async ({ stack }) => {
    await withApi(stack, {}, async (api) => {
      engine.decide(() => ({ ...denied('not today'), cache_seconds: 300 }));
      const ids = [await startSession(api), await startSession(api), await startSession(api, { user: 'bob' })];
      for (const { session_id: id } of ids)
        expect(await endedSession(api, id)).toMatchObject({ result: { status: 'rejected' } });
      expect(engine.questions().map(({ user }) => user)).toEqual(['ada', 'bob']);
    });
  });
});

function expectUnavailable(answer: Answer): void {
  expectProblem(answer, 503, 'policy_unavailable');
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
}
