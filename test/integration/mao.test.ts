/** Several agents through the API, and whose tenant sessions and agents belong to. */
import { describe, expect } from 'vitest';
import { accepted, type Client, field } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { register } from '../support/registered.ts';
import { act, completionOf, endedSession, promptIn, sessionBody, sessionServices } from '../support/sessions.ts';
import { hmacToken, SECRET } from '../support/tokens.ts';

const { identity, policy, features } = sessionServices();
const [onRedis] = onBothBackends({ features });
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

interface Mao {
  status: string;
  result: { status: string; agent_results: Array<Record<string, unknown>> } | null;
}

async function endedMao(api: Client, id: string): Promise<Mao> {
  return until(async () => {
    const found = accepted(await api.get(`/v1/mao/${id}`), 200).body as Mao;
    return found.status === 'running' ? undefined : found;
  });
}

describe.each([onRedis].filter((one) => one !== undefined))('several agents on $backend', ({ test }) => {
  test('each directive is a child execution with a token and a completion of its own', async ({ api, service }) => {
    await register(api, { llm_gateway: service.url, notification: service.url });
    service.answer(({ body, path }) => {
      if (path === '/notify') return { body: { sent: true } };
      const prompt = promptIn(body);
      return prompt === 'refused' ? { status: 422 } : { body: completionOf(`about ${prompt}`, 'theirs') };
    });
    const directives = [
      { agent_id: 'reader', goal: 'facts', prompt: 'facts', capabilities: ['read'], metadata: { n: 1 } },
      { agent_id: 'critic', prompt: 'refused' },
      { agent_id: 'writer', prompt: 'text', model: 'large' },
    ];
    const body = { tenant: 'acme', initiator: 'ada', directives, notification_channel: 'ops', metadata: { own: 1 } };
    const key = { 'Idempotency-Key': 'mao-1' };
    const answer = accepted(await api.post('/v1/mao/start', body, key), 202);
    const runId = field(answer, 'run_id');
    expect(answer.body).toEqual({
      workflow_id: `mao-${runId}`,
      run_id: runId,
      orchestration_id: runId,
      task_queue: 'somagent.session.workflows',
    });
    expect(accepted(await api.post('/v1/mao/start', body, key), 202).body).toEqual(answer.body);

    const ended = await endedMao(api, `mao-${runId}`);
    expect(ended).toEqual({
      ...{ workflow_id: `mao-${runId}`, run_id: runId, orchestration_id: runId },
      status: 'completed',
      history_length: expect.any(Number),
      result: {
        status: 'partial',
        agent_results: [
          {
            agent_id: 'reader',
            goal: 'facts',
            status: 'completed',
            token: { expires_in: 900, token_type: 'bearer' },
            slm_response: expect.objectContaining({ completion: 'about facts', model: 'theirs' }),
            execution_id: expect.any(String),
            started_at: ISO,
            completed_at: ISO,
          },
          expect.objectContaining({ agent_id: 'critic', goal: null, status: 'failed', token: null, slm_response: {} }),
          expect.objectContaining({ agent_id: 'writer', status: 'completed' }),
        ],
      },
    });
    expect(ended.result?.agent_results[1]).toMatchObject({ error: { code: 'child_failed' } });
    expect(await endedMao(api, runId)).toEqual(ended);
    expect(identity.requests.map(({ userId, capabilities }) => [userId, ...capabilities]).sort()).toEqual([
      ['ada', 'agent:critic'],
      ['ada', 'agent:writer'],
      ['ada', 'read'],
    ]);
    const children = identity.requests.map(({ idempotencyKey }) => idempotencyKey.split('.')[0]);
    expect(new Set(children).size).toBe(3);
    for (const agent of ended.result?.agent_results ?? []) {
      if (agent['status'] === 'completed') expect(children).toContain(agent['execution_id']);
    }
    const asked = service.calls.find(({ path, body: sent }) => path !== '/notify' && promptIn(sent) === 'facts');
    expect(asked?.body).toMatchObject({
      model: 'somagent-demo',
      user: 'ada',
      metadata: { session_id: `${runId}:reader`, tenant: 'acme' },
    });
    expect(service.calls.filter(({ path }) => path === '/notify')).toMatchObject([
      { body: { tenant_id: 'acme', channel: 'ops', severity: 'info' } },
    ]);
  });

  test('they are completed or failed when all of them are', async ({ api, service }) => {
    await register(api, { llm_gateway: service.url });
    for (const [status, reply] of [
      ['failed', { status: 400 }],
      ['completed', { body: { completion: 'done' } }],
    ] as const) {
      service.answer(() => reply);
      const directives = [1, 2].map((n) => ({ agent_id: `agent-${n}`, prompt: 'go' }));
      const started = await api.post('/v1/mao/start', { tenant: 'default', initiator: 'ada', directives });
      const { result } = await endedMao(api, field(accepted(started, 202), 'workflow_id'));
      expect(result).toMatchObject({ status });
    }
  });

  test('all faults are named at once, and what is no orchestration is 404', async ({ api }) => {
    const wrong = await api.post('/v1/mao/start', { directives: [{ agent_id: '' }, { prompt: 7 }], metadata: [] });
    expectProblem(wrong, 400, 'invalid_request');
    const { errors } = wrong.body as { errors: Array<{ path: string }> }; // A problem document.
    expect(errors.map(({ path }) => path).sort()).toEqual([
      'directives.0.agent_id',
      'directives.0.prompt',
      'directives.1.agent_id',
      'directives.1.prompt',
      'initiator',
      'metadata',
      'tenant',
    ]);
    const common = { tenant: 'default', initiator: 'ada' };
    const many = Array.from({ length: 51 }, () => ({ agent_id: 'a', prompt: 'p' }));
    for (const directives of [[], many])
      expectProblem(await api.post('/v1/mao/start', { ...common, directives }), 400, 'invalid_request');
    expectProblem(await api.get('/v1/mao/mao-unknown'), 404, 'not_found');
    const { session_id: id, run_id: runId } = accepted(await api.post('/v1/sessions', sessionBody()), 202)
      .body as Record<string, string>;
    expectProblem(await api.get(`/v1/mao/${runId}`), 404, 'not_found');
    await endedSession(api, id ?? '');
  });
});

const CLAIMS = { exp: Math.floor(Date.now() / 1_000) + 3_600 };
const as = (tenant_id: string, role: string) => ({
  authorization: `Bearer ${hmacToken({ ...CLAIMS, tenant_id, sub: 'anna', roles: [role] })}`,
});
const [withTokens] = onBothBackends({ features, environment: { HOST: '127.0.0.1', JWT_SECRET: SECRET } });

describe.each([withTokens].filter((one) => one !== undefined))('whose sessions are on $backend', ({ test }) => {
  test('where credentials are required the tenant is theirs, and roles say what may be done', async ({ api }) => {
    const operator = as('acme', 'operator');
    const own = sessionBody({ tenant: 'acme', metadata: { session_id: 'mine' } });
    accepted(await api.post('/v1/sessions', own, operator), 202);
    expect(policy.requests.at(-1)).toMatchObject({ tenant: 'acme', user: 'ada', role: 'operator' });
    const decided = policy.requests.length;
    for (const fields of [{ tenant: 'other' }, { tenant: 'acme', tenant_id: 'other' }])
      expectProblem(await api.post('/v1/sessions', sessionBody(fields), operator), 403, 'forbidden');
    const mao = { tenant: 'other', initiator: 'ada', directives: [{ agent_id: 'a', prompt: 'p' }] };
    expectProblem(await api.post('/v1/mao/start', mao, operator), 403, 'forbidden');
    expectProblem(await api.post('/v1/sessions', own), 401, 'unauthorized');
    const viewer = as('acme', 'viewer');
    expectProblem(await api.post('/v1/sessions', own, viewer), 403, 'forbidden');
    expectProblem(await act(api, 'mine', 'cancel', {}, viewer), 403, 'forbidden');
    expectProblem(await api.get('/v1/sessions/mine', as('beta', 'operator')), 404, 'not_found');
    expect(policy.requests).toHaveLength(decided);
    await until(async () => {
      const { body } = accepted(await api.get('/v1/sessions/mine', viewer), 200);
      return (body as { status: string }).status === 'completed';
    });
  });
});
