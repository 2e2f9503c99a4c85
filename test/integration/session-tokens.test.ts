/** Sessions beside a real identity service: what it is asked, what becomes of its answers, and that nobody keeps its tokens. */
import { afterAll, describe, expect } from 'vitest';
import { type Answer, accepted, openClient } from '../harness/client/client.ts';
import { AWAY } from '../harness/services/faulty-answers.ts';
import { startIdentityService, verified } from '../harness/services/identity-service.ts';
import type { Reply } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { allRows } from '../support/all-rows.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { act, endedSession, readSession, startSession } from '../support/sessions.ts';

const KEY = 'the-key-of-the-gateway';
const CODE = 'code-31415926';
const identity = await startIdentityService();
const collector = await startOtlpReceiver();
afterAll(() => Promise.all([identity.close(), collector.close()]));

const environment = {
  // A suffix that is there already is not added twice. Its address is the operator's, so actions may not call anything.
  ...{ IDENTITY_SERVICE_URL: `${identity.url}/v1/tokens/issue`, IDENTITY_TIMEOUT_MS: '20000', EGRESS_POLICY: 'none' },
  ...{ API_KEY: KEY, HOST: '127.0.0.1', SECRETS_KEY: Buffer.alloc(32, 7).toString('base64') },
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
};

/** Nothing was asked yet, and it does what it should. */
function begin(): void {
  identity.calls.length = 0;
  identity.issued.clear();
  identity.behave();
}

/** So often it answers that, and then as it should. */
function first(times: number, reply: Reply): void {
  identity.answer((call) => (identity.wanted().length <= times ? reply : identity.reply(call)));
}

const GOOD = { token: 'never-issued-0123456789', expires_in: 60, token_type: 'bearer' };
const backends = onBothBackends({ environment }).filter(({ backend }) => backend === 'postgres');
describe.each(backends)('tokens of sessions on $backend', ({ test: base }) => {
  const test = base.extend('api', ({ stack }) => openClient(stack.api.url, { 'x-api-key': KEY }));

  test('a session has one, issued for its user with the key of its task, and shows when it ends and nothing else', async ({
    api,
  }) => {
    begin();
    const { session_id: id, run_id: runId } = await startSession(api, {
      ...{ user: 'bob', capabilities: ['llm.use', 'read'], mfa_code: CODE },
    });
    expect(await endedSession(api, id)).toMatchObject({ status: 'completed' });
    const { result } = await readSession(api, id);
    expect((result as { token: object }).token).toEqual({ expires_in: 900, token_type: 'bearer' });
    expect(identity.calls).toHaveLength(1);
    expect(identity.calls[0]).toMatchObject({
      ...{ method: 'POST', path: '/v1/tokens/issue', idempotencyKey: `${runId}.1.token` },
      body: { user_id: 'bob', tenant_id: 'default', capabilities: ['llm.use', 'read'], mfa_code: CODE },
    });
    expect([...identity.issued.keys()]).toEqual([`${runId}.1.token`]);
  });

  test('each of several agents has one of its own', async ({ api }) => {
    begin();
    const directives = ['reader', 'writer'].map((agent) => ({ agent_id: agent, prompt: 'Go.' }));
    const started = await api.post('/v1/mao/start', { tenant: 'default', initiator: 'ada', directives });
    const { run_id: runId } = accepted(started, 202).body as { run_id: string };
    const { agent_results: agents } = await until(async () => {
      const { result } = accepted(await api.get(`/v1/mao/${runId}`), 200).body as {
        result: { agent_results: Array<{ execution_id: string; token: object }> } | null;
      };
      return result ?? undefined;
    });
    expect(agents.map(({ token }) => token)).toEqual(Array(2).fill({ expires_in: 900, token_type: 'bearer' }));
    expect([...identity.issued.keys()].sort()).toEqual(agents.map((one) => `${one.execution_id}.1.token`).sort());
    expect(identity.wanted()).toHaveLength(2);
  });

  test.for([
    [400, 'it rejects the request'],
    [401, 'it does not know this service'],
    [403, 'the user lacks a capability, or the code of the second factor is missing or wrong'],
    [404, 'it does not know the user'],
    [422, 'it rejects the request'],
  ] as const)(
    'a rejection, %i, ends the session as failed with its reason, after one call',
    async ([status, why], { api }) => {
      begin();
      identity.answer(() => ({ status, body: { detail: 'MFA of bob' } }));
      const { session_id: id, run_id: runId } = await startSession(api);
      const session = await endedSession(api, id);
      expect(session).toMatchObject({
        ...{ status: 'failed', result: null },
        error: {
          ...{ code: 'upstream_rejected', action_id: 'token' },
          message: `The identity service issued no token: ${why}`,
        },
      });
      expect(identity.calls).toHaveLength(1);
      const { tasks } = await api.execution(runId);
      expect(tasks.find(({ action_id }) => action_id === 'completion')?.status).not.toBe('completed');
      identity.behave();
      accepted(await act(api, id, 'retry'), 202);
      expect(await endedSession(api, id)).toMatchObject({ status: 'completed', result: { status: 'completed' } });
      expect([...identity.issued.keys()]).toEqual([`${runId}.2.token`]);
    },
  );

  test.for([
    ['is in error', { status: 500, body: GOOD }],
    ['is too busy', { status: 503, body: GOOD }],
    ['says that it had too many calls', { status: 429, body: GOOD }],
    ['answers no JSON', { body: `<html>${GOOD.token}</html>` }],
    ['issues none', { body: { ...GOOD, token: '' } }],
    ['does not say when it ends', { body: { ...GOOD, expires_in: 'soon' } }],
    ['puts the token where its type should be', { body: { ...GOOD, token_type: `bearer ${GOOD.token}` } }],
    ['redirects', { status: 307, headers: { location: 'http://127.0.0.1:1/' }, body: GOOD }],
  ] as const)(
    'one that at first %s is asked again with the same key, and issues one token',
    async ([_, reply], { api, db }) => {
      begin();
      first(2, reply);
      const { session_id: id, run_id: runId } = await startSession(api, { mfa_code: CODE });
      expect(await endedSession(api, id)).toMatchObject({
        ...{ status: 'completed', result: { token: { expires_in: 900, token_type: 'bearer' } } },
      });
      expect(identity.calls.map(({ idempotencyKey }) => idempotencyKey)).toEqual(Array(3).fill(`${runId}.1.token`));
      // The code is there for each attempt.
      for (const { body } of identity.calls) expect(body).toMatchObject({ mfa_code: CODE });
      expect(identity.issued.size).toBe(1);
      expect(JSON.stringify(await allRows(db, { all: true }))).not.toContain(GOOD.token);
    },
  );

  test('an identity service that is in error all the time fails the session, which says so', async ({ api }) => {
    begin();
    identity.answer(() => ({ status: 500, body: GOOD }));
    const { session_id: id } = await startSession(api);
    expect(await endedSession(api, id)).toMatchObject({
      status: 'failed',
      error: { code: 'upstream_unavailable', message: 'The identity service issued no token: it answered 500' },
    });
    expect(identity.calls).toHaveLength(4);
    expect(identity.issued.size).toBe(0);
  });

  test('no token and no code is in a table, in the log, in an event, in a trace or in an answer', async ({
    db,
    stack,
  }) => {
    begin();
    const bearer = 'opaque-token-of-a-client-0123456789';
    identity.tokens.set(bearer, verified({ tenant_id: 'default', capabilities: ['admin'] }));
    const client = openClient(stack.api.url, { authorization: `Bearer ${bearer}` });
    // Whatever it answers with it: that it failed, and then more than was asked for.
    identity.answer((call) => {
      const { status, body = {} } = identity.reply(call);
      if (call.path !== '/v1/tokens/issue') return { ...(status === undefined ? {} : { status }), body };
      const text = `${JSON.stringify(body)} ${CODE}`;
      if (identity.wanted().length === 1) return { status: 500, body: { detail: text } };
      return { body: { ...(body as object), refresh_token: text, user: { note: text } } };
    });
    const answers: Answer[] = [];
    const kept = async (answer: Promise<Answer>) => {
      answers.push(await answer);
      return answers.at(-1) as Answer; // It was only just put there.
    };
    const metadata = { mfa_code: CODE, session_id: 'secretive' };
    const body = { tenant: 'default', user: 'ada', prompt: 'Go.', metadata };
    const started = accepted(await kept(client.post('/v1/sessions', body)), 202).body as { run_id: string };
    expect(await endedSession(client, 'secretive')).toMatchObject({ status: 'completed' });
    // Bodies that are wrong, or wrong elsewhere, are not quoted either.
    await kept(client.post('/v1/sessions', { ...body, mfa_code: CODE, prompt: 7 }));
    await kept(client.post('/v1/sessions', { ...body, mfa_code: [CODE] }));
    const run = `/workflows/executions/${started.run_id}`;
    for (const path of [
      ...['/v1/sessions/secretive', run, `${run}/logs`, `${run}/why`, '/audit', '/executions', '/workflows/activity'],
      ...['/config/effective', '/metrics', '/infrastructure/events/history'],
    ])
      accepted(await kept(client.get(path)), 200);
    // One line for each row.
    const exported = await fetch(`${stack.api.url}/tenants/default/export`, {
      headers: { authorization: `Bearer ${bearer}` },
    });
    expect(exported.status).toBe(200);
    const rows = await exported.text();
    expect(rows).toContain('secretive');
    await until(() => JSON.stringify(collector.spans).includes(started.run_id));
    const token = [...identity.issued.values()];
    expect(token).toHaveLength(1);
    const texts = JSON.stringify([
      await allRows(db, { all: true }),
      stack.log.lines,
      collector.spans,
      rows,
      answers.map(({ text, headers }) => [text, [...headers]]),
    ]);
    for (const secret of [...token, CODE, bearer]) {
      expect(texts).not.toContain(secret);
      expect(texts).not.toContain(Buffer.from(secret).toString('base64').slice(0, 16));
    }
  });
});

const [away] = onBothBackends({ environment: { ...environment, IDENTITY_SERVICE_URL: AWAY } });
describe.each([away].filter((one) => one !== undefined))('tokens of nobody on $backend', ({ test: base }) => {
  const test = base.extend('api', ({ stack }) => openClient(stack.api.url, { 'x-api-key': KEY }));

  test('while the identity service is away a session fails after its attempts, and says why', async ({ api }) => {
    const { session_id: id } = await startSession(api);
    expect(await endedSession(api, id)).toMatchObject({
      ...{ status: 'failed', error: { code: 'upstream_unavailable', action_id: 'token' } },
    });
  });
});
