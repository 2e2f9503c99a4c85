/** A policy engine beside a running service: what it is asked, what its denial stops, and what holds when it says nothing. */
import { describe, expect } from 'vitest';
import { type Client, openClient } from '../harness/client/client.ts';
import type { Environment } from '../harness/processes/process.ts';
import { AWAY, faultyAnswers } from '../harness/services/faulty-answers.ts';
import { ALLOWED, denied, startPolicyEngine } from '../harness/services/policy-engine.ts';
import { until } from '../harness/until.ts';
import { allRows } from '../support/all-rows.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';

const TASK = { task_type: 'test_task' };
const FLOW = { name: 'flow', actions: [{ action_id: 'a', action_type: 'test_task', config: {} }] };
const PASSWORD = 'pass-word-of-the-engine';
const FAULTS = Object.entries(faultyAnswers(ALLOWED));

const engine = await startPolicyEngine();
const url = engine.url.replace('//', `//orchestrator:${PASSWORD}@`);
// No action may call anything: the engine is the operator's, and is asked all the same.
const environment = { POLICY_ENGINE_URL: url, EGRESS_POLICY: 'none', POLICY_TIMEOUT_MS: '20000' };
const ALL = { POLICY_SCOPE: 'all' };
const OPEN = { ...ALL, POLICY_FAIL_OPEN: 'true' };

async function withApi<T>(stack: Stack, settings: Environment, work: (api: Client) => Promise<T>): Promise<T> {
  const { port, stop } = await stack.add('api', settings);
  engine.calls.length = 0;
  engine.decide(() => ALLOWED);
  try {
    return await work(openClient(`http://127.0.0.1:${port}`));
  } finally {
    await stop();
  }
}

/** How long it waits for an engine that is silent. */
function patience(fault: string): Environment {
  return fault === 'never answers' ? { POLICY_TIMEOUT_MS: '200' } : {};
}

async function decisions(api: Client): Promise<Record<string, number>> {
  const { text } = await api.get('/metrics');
  const lines = [...text.matchAll(/^orchestrator_policy_decisions_total\{.*?result="(\w+)".*?\} (\d+)$/gm)];
  return Object.fromEntries(lines.map(([, result = '', count]) => [result, Number(count)]));
}

const backends = onBothBackends({ environment }).filter(({ backend }) => backend === 'postgres');
describe.each(backends)('a policy engine on $backend', ({ test }) => {
  test('that decides sessions is asked about nothing else', async ({ api }) => {
    engine.decide(() => denied('everything'));
    expect(await api.ended(await api.assign(TASK))).toMatchObject({ status: 'completed' });
    await api.createWorkflow(FLOW);
    expect(engine.calls).toEqual([]);
  });

  test('is asked once before each operation that changes something, with who does what to what', async ({ stack }) => {
    await withApi(stack, ALL, async (api) => {
      const as = { 'x-tenant-id': 'acme', 'x-user-id': 'anna', 'x-request-id': 'request-7' };
      const run = await api.assign({ ...TASK, params: { password: 'not-for-the-engine' } }, as);
      await api.get(`/result/${run}?wait=20`, as);
      const tasks = { tasks: [TASK, TASK, TASK] };
      expect((await api.post('/assign-tasks', tasks, as)).status).toBe(202);
      await api.send('DELETE', '/secrets/TOKEN', undefined, as);
      const common = { session_id: 'request-7', tenant: 'acme', user: 'anna', role: 'anonymous' };
      expect(engine.questions()).toEqual([
        {
          ...common,
          prompt: expect.any(String),
          metadata: { operation: 'assignTask' },
        },
        {
          ...common,
          prompt: expect.any(String),
          metadata: { operation: 'assignTasks' },
        },
        {
          ...common,
          prompt: expect.any(String),
          metadata: { operation: 'deleteSecret', resource: { name: 'TOKEN' } },
        },
      ]);
      for (const call of engine.calls) {
        expect(call).toMatchObject({ method: 'POST', path: '/v1/evaluate' });
        const pair = Buffer.from(`orchestrator:${PASSWORD}`).toString('base64');
        expect(call.headers.authorization).toBe(`Basic ${pair}`);
      }
      const effective = await api.get('/config/effective');
      expect(effective.text + JSON.stringify(stack.log.lines)).not.toContain(PASSWORD);
    });
  });

  test('that denies is 403 with its reasons, leaves no row, and is in the audit', async ({ stack, db }) => {
    await withApi(stack, ALL, async (api) => {
      engine.decide(({ metadata }) => (metadata['operation'] === 'createWorkflow' ? denied('no flows') : ALLOWED));
      const before = await allRows(db);
      const answer = await api.post('/workflows', FLOW);
      expectProblem(answer, 403, 'policy_denied');
      expect(answer.body).toMatchObject({ detail: 'The policy denies this: no flows' });
      expect(await allRows(db)).toEqual(before);
      await api.ended(await api.assign(TASK));
      await until(async () => {
        const { rows } = await db.query(
          `SELECT 1 FROM audit_entry WHERE action = 'createWorkflow' AND decision = 'denied' AND reason = 'policy_denied'`,
        );
        return rows.length > 0;
      });
      expect(await decisions(api)).toEqual({ allowed: 1, denied: 1 });
    });
  });

  test('whose decisions hold is asked again when something else is to be done', async ({ stack }) => {
    await withApi(stack, ALL, async (api) => {
      engine.decide(() => ({ ...denied('not today'), cache_seconds: 300 }));
      for (let n = 0; n < 3; n += 1) expect((await api.post('/assign-task', TASK)).status).toBe(403);
      expect(engine.calls).toHaveLength(1);
      expect((await api.post('/assign-task', TASK, { 'x-user-id': 'bert' })).status).toBe(403);
      expect((await api.post('/workflows', FLOW)).status).toBe(403);
      expect(engine.calls).toHaveLength(3);
    });
  });

  test.for(FAULTS)(
    'that %s is 503 with a time to come back, and leaves no row',
    async ([fault, answer], { stack, db }) => {
      await withApi(stack, { ...ALL, ...patience(fault) }, async (api) => {
        engine.answer(answer);
        const before = await allRows(db);
        for (const [path, body] of [
          ['/assign-task', TASK],
          ['/workflows', FLOW],
        ] as const) {
          const rejected = await api.post(path, body);
          expectProblem(rejected, 503, 'policy_unavailable');
          expect(Number(rejected.headers.get('retry-after'))).toBeGreaterThan(0);
        }
        expect(engine.calls).toHaveLength(2);
        expect(await allRows(db)).toEqual(before);
        expect(await decisions(api)).toEqual({ unavailable: 2 });
        // Reading goes on.
        expect((await api.get('/workflows')).status).toBe(200);
      });
    },
  );

  test('that is away, or redirects to one that allows it, decides nothing', async ({ stack, db }) => {
    const other = await startPolicyEngine();
    try {
      // Its tasks may call anything.
      await withApi(stack, { ...ALL, EGRESS_POLICY: 'internal' }, async (api) => {
        for (const location of ['/v2/evaluate', `${other.url}/v1/evaluate`]) {
          for (const status of [301, 302, 303, 307, 308]) {
            engine.answer(({ path }) =>
              path === '/v2/evaluate' ? { body: ALLOWED } : { status, headers: { location } },
            );
            expectProblem(await api.post('/assign-task', TASK), 503, 'policy_unavailable');
          }
        }
        expect(other.calls).toEqual([]);
      });
    } finally {
      await other.close();
    }
    const before = await allRows(db);
    await withApi(stack, { ...ALL, POLICY_ENGINE_URL: AWAY }, async (api) => {
      expectProblem(await api.post('/assign-task', TASK), 503, 'policy_unavailable');
    });
    expect(await allRows(db)).toEqual(before);
  });

  test('whose silence allows, as POLICY_FAIL_OPEN says, is audited and counted each time; its denial denies', async ({
    stack,
    db,
  }) => {
    const opened = async () => {
      const { rows } = await db.query<{ actor: string; details: object }>(
        `SELECT actor, details FROM audit_entry WHERE action = 'policy.failed_open' AND tenant_id = 'acme'`,
      );
      return rows;
    };
    await withApi(stack, { ...OPEN, POLICY_TIMEOUT_MS: '500' }, async (api) => {
      const as = { 'x-tenant-id': 'acme', 'x-user-id': 'anna' };
      for (const [count, [, answer]] of FAULTS.entries()) {
        engine.answer(answer);
        const run = await api.assign(TASK, as);
        await api.get(`/result/${run}?wait=20`, as);
        expect(await opened()).toHaveLength(count + 1);
      }
      expect(await opened()).toEqual(
        FAULTS.map(() => ({ actor: 'anna', details: { operation: 'assignTask', problem: expect.any(String) } })),
      );
      expect(await decisions(api)).toEqual({ failed_open: FAULTS.length });
    });
    await withApi(stack, OPEN, async (api) => {
      engine.decide(() => denied('no'));
      expectProblem(await api.post('/assign-task', TASK), 403, 'policy_denied');
    });
  });

  test('of OPA gets the question as its input, and what it does not define is denied', async ({ stack }) => {
    await withApi(stack, { ...ALL, POLICY_DIALECT: 'opa' }, async (api) => {
      engine.decide(() => ({ result: { allow: true } }));
      await api.ended(await api.assign(TASK));
      expect(engine.calls).toMatchObject([
        { path: '/v1/data/orchestrator', body: { input: { metadata: { operation: 'assignTask' } } } },
      ]);
      engine.decide(() => ({}));
      expectProblem(await api.post('/assign-task', TASK), 403, 'policy_denied');
      engine.decide(() => ({ result: 'yes' }));
      expectProblem(await api.post('/assign-task', TASK), 503, 'policy_unavailable');
    });
  });
});
