/** What a policy engine is asked and what its answers mean, in both dialects; what is cached; what holds without an answer. */
import { describe, expect, test } from 'vitest';
import { type Access, OPEN_ACCESS, type Role } from '../../../../src/domain/access.ts';
import type { AuditEvent } from '../../../../src/engine/ports/audit.ts';
import { createPolicy, type Decided, type PolicyDeps } from '../../../../src/features/policy/ask-policy.ts';
import { askBeforeChange, policyDenied } from '../../../../src/features/policy/before-change.ts';
import {
  type PolicyRequest,
  policyEndpoint,
  questionOf,
  readEngineAnswer,
  strongestRole,
  violationsIn,
} from '../../../../src/features/policy/domain.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const REQUEST: PolicyRequest = {
  ...{ session_id: 's1', tenant: 'acme', user: 'anna', prompt: 'Start a task', role: 'editor' },
  metadata: { operation: 'what a client writes' },
};
const ABOUT = {
  operation: 'assignTask',
  access: undefined,
  requestId: 'r1',
  traceId: 't1',
  signal: new AbortController().signal,
};
const reply = (body: unknown, status = 200) => ({ status, body });

describe('where it is asked', () => {
  test.each([
    ['native', 'http://policy:10020', 'http://policy:10020/v1/evaluate'],
    ['native', 'http://policy:10020/', 'http://policy:10020/v1/evaluate'],
    ['native', 'http://policy:10020/v1', 'http://policy:10020/v1/evaluate'],
    ['native', 'http://policy:10020/v1/evaluate', 'http://policy:10020/v1/evaluate'],
    ['native', 'http://policy:10020/v1/evaluate/?a=b', 'http://policy:10020/v1/evaluate?a=b'],
    ['native', 'https://gateway/policy', 'https://gateway/policy/v1/evaluate'],
    ['opa', 'http://opa:8181', 'http://opa:8181/v1/data/orchestrator'],
    ['opa', 'http://opa:8181/v1/data', 'http://opa:8181/v1/data/orchestrator'],
    ['opa', 'http://opa:8181/v1/data/acme/allow', 'http://opa:8181/v1/data/acme/allow'],
  ] as const)('%s at %s is %s', (dialect, url, endpoint) => {
    expect(policyEndpoint(dialect, url).href).toBe(endpoint);
  });

  test('an engine of OPA gets all six fields as its input', () => {
    expect(questionOf('native', REQUEST)).toEqual(REQUEST);
    expect(questionOf('opa', REQUEST)).toEqual({ input: REQUEST });
  });

  test('of several roles the most powerful is sent, and none of who was not checked', () => {
    const access = (...roles: Role[]): Access => ({ means: 'jwt', roles, scopes: undefined });
    expect(strongestRole(access('viewer', 'worker', 'editor'))).toBe('editor');
    expect(strongestRole(access('worker'))).toBe('worker');
    for (const none of [access(), OPEN_ACCESS, undefined]) expect(strongestRole(none)).toBe('anonymous');
  });
});

describe('an answer', () => {
  test('of the native dialect has score, severity and reasons, and its sentences for people', () => {
    const reasons = { constitution_hash: 'c1', policy: ['no\nshell', 'x'.repeat(300)] };
    expect(readEngineAnswer('native', reply({ allowed: false, score: 0.9, severity: 'high', reasons }))).toEqual({
      decision: { allowed: false, score: 0.9, severity: 'high', reasons },
      cacheSeconds: 0,
    });
    expect(violationsIn(reasons)).toEqual(['no shell', 'x'.repeat(200)]);
    expect(policyDenied({ reasons })).toMatchObject({
      ...{ code: 'policy_denied', message: `The policy denies this: no shell; ${'x'.repeat(200)}` },
    });
    expect(policyDenied({ reasons: {} }).message).toBe('The policy denies this');
  });

  test('of the second schema has its violations as reasons', () => {
    const answer = readEngineAnswer('native', reply({ allowed: false, violations: ['no shell'] }));
    expect(answer).toMatchObject({ decision: { reasons: { policy: ['no shell'] } } });
  });

  test('that decides is not rejected for what is wrong beside the decision', () => {
    const odd = { allowed: true, score: 'high', severity: 'terrible', reasons: null, cache_seconds: 'long' };
    expect(readEngineAnswer('native', reply(odd))).toEqual({
      decision: { allowed: true, score: null, severity: null, reasons: {} },
      cacheSeconds: 0,
    });
    const unstorable = { allowed: false, reasons: { policy: ['a\u0000b'] } };
    expect(readEngineAnswer('native', reply(unstorable))).toMatchObject({ decision: { allowed: false, reasons: {} } });
  });

  test.each([
    [-1, 0],
    [0, 0],
    [0.5, 0.5],
    [300, 300],
    [86_400, 300],
  ])('that holds for %s seconds is cached for %s', (cache_seconds, cacheSeconds) => {
    expect(readEngineAnswer('native', reply({ allowed: true, cache_seconds }))).toMatchObject({ cacheSeconds });
  });

  test.each([
    ['a status of an error', reply({ allowed: true }, 500)],
    ['a status of a rejected question', reply({ allowed: true }, 422)],
    ['a redirect', reply({ allowed: true }, 302)],
    ['no decision', reply({})],
    ['a text', reply({ allowed: 'true' })],
    ['a number', reply({ allowed: 1 })],
    ['a decision in a result', reply({ result: true })],
    ['a list', reply([{ allowed: true }])],
    ['no JSON', reply(undefined)],
  ])('with %s is no decision of the native dialect', (_what, answer) => {
    expect(readEngineAnswer('native', answer)).toEqual({ fault: expect.any(String) });
  });

  test.each([
    [{}, false],
    [{ decision_id: 'd1' }, false],
    [{ result: false }, false],
    [{ result: true }, true],
    [{ result: { allowed: true } }, true],
    [{ result: { allow: true } }, true],
    [{ result: { allow: true, allowed: false } }, false],
    [{ result: { allow: false, allowed: true } }, false],
  ])('of OPA %j is %s', (body, allowed) => {
    expect(readEngineAnswer('opa', reply(body))).toMatchObject({ decision: { allowed } });
  });

  test.each([
    ['a text', reply({ result: 'true' })],
    ['a document without a decision', reply({ result: {} })],
    ['no JSON', reply(undefined)],
    ['an error', reply({}, 500)],
    ['null', reply({ result: null })],
    ['a boolean beside a text', reply({ result: { allow: true, allowed: 'false' } })],
  ])('with %s is no decision of OPA', (_what, answer) => {
    expect(readEngineAnswer('opa', answer)).toEqual({ fault: expect.any(String) });
  });
});

interface Opened {
  policy: ReturnType<typeof createPolicy>;
  asked: PolicyRequest[];
  audited: AuditEvent[];
  decided: Decided[];
  time: { now: number };
  log: ReturnType<typeof createTestLog>;
}

function open(answer: () => Promise<{ status: number; body: unknown }>, more: Partial<PolicyDeps> = {}): Opened {
  const found: Omit<Opened, 'policy'> = {
    ...{ asked: [], audited: [], decided: [], time: { now: 0 }, log: createTestLog() },
  };
  const policy = createPolicy({
    ...{ dialect: 'native', failOpen: false, log: found.log, elapsed: () => found.time.now },
    ask: (request) => {
      found.asked.push(request);
      return answer();
    },
    audit: { write: async (event) => void found.audited.push(event) },
    decided: (result) => void found.decided.push(result),
    ...more,
  });
  return { policy, ...found };
}

describe('a decision', () => {
  test('is asked for each time where the engine does not say that it holds', async () => {
    const { policy, asked } = open(async () => reply({ allowed: true }));
    for (let n = 0; n < 3; n += 1) await policy.decide(REQUEST, ABOUT);
    expect(asked).toHaveLength(3);
  });

  test('that holds is cached, also a denial, whatever the session; not for anything else that was sent', async () => {
    const { policy, asked, time, decided } = open(async () => reply({ allowed: false, cache_seconds: 10 }));
    for (const session_id of ['s1', 's2', 's3']) {
      expect(await policy.decide({ ...REQUEST, session_id }, ABOUT)).toMatchObject({ allowed: false });
    }
    expect(asked).toHaveLength(1);
    expect(decided).toEqual(['denied', 'denied', 'denied']);
    const others: Array<Partial<PolicyRequest>> = [
      ...[{ tenant: 'inc' }, { user: 'bert' }, { prompt: 'Else' }, { role: 'viewer' }],
      { metadata: { operation: 'executeWorkflow' } },
    ];
    for (const other of others) await policy.decide({ ...REQUEST, ...other }, ABOUT);
    expect(asked).toHaveLength(1 + others.length);
    time.now = 9_999;
    await policy.decide(REQUEST, ABOUT);
    expect(asked).toHaveLength(1 + others.length);
    time.now = 10_000;
    await policy.decide(REQUEST, ABOUT);
    expect(asked).toHaveLength(2 + others.length);
  });

  test('is forgotten when there is room for no more, the oldest first', async () => {
    const { policy, asked } = open(async () => reply({ allowed: true, cache_seconds: 300 }), { maxCached: 2 });
    for (const user of ['a', 'b', 'c', 'c', 'b', 'a']) await policy.decide({ ...REQUEST, user }, ABOUT);
    expect(asked.map(({ user }) => user)).toEqual(['a', 'b', 'c', 'a']);
  });
});

describe('without a decision', () => {
  const away = () => Promise.reject(new Error('connect ECONNREFUSED'));

  test('the request is 503 with a time to come back, and nothing is cached', async () => {
    const { policy, asked, decided, audited, log } = open(away);
    for (let n = 0; n < 2; n += 1) {
      await expect(policy.decide(REQUEST, ABOUT)).rejects.toMatchObject({
        ...{ code: 'policy_unavailable', status: 503, retryAfterSeconds: 2 },
      });
    }
    expect(asked).toHaveLength(2);
    expect(decided).toEqual(['unavailable', 'unavailable']);
    expect(audited).toEqual([]);
    // Once in ten seconds, however many requests there are.
    expect(log.lines.map(({ event }) => event)).toEqual(['policy_unavailable']);
  });

  test('POLICY_FAIL_OPEN allows it, counted, and in the audit before it is done', async () => {
    const { policy, audited, decided } = open(away, { failOpen: true });
    expect(await policy.decide(REQUEST, ABOUT)).toMatchObject({ allowed: true, failedOpen: true });
    expect(decided).toEqual(['failed_open']);
    expect(audited).toMatchObject([
      {
        ...{ action: 'policy.failed_open', tenant_id: 'acme', actor: 'anna', decision: 'allowed', request_id: 'r1' },
        details: { operation: 'assignTask', problem: 'connect ECONNREFUSED' },
      },
    ]);
  });

  test('POLICY_FAIL_OPEN allows nothing that was denied', async () => {
    const { policy } = open(async () => reply({ allowed: false }), { failOpen: true });
    expect(await policy.decide(REQUEST, ABOUT)).toMatchObject({ allowed: false, failedOpen: false });
  });

  test('POLICY_FAIL_OPEN allows nothing for a client that has gone away meanwhile', async () => {
    const gone = new AbortController();
    const { policy, audited } = open(
      async () => {
        gone.abort();
        throw new Error('aborted');
      },
      { failOpen: true },
    );
    await expect(policy.decide(REQUEST, { ...ABOUT, signal: gone.signal })).rejects.toMatchObject({ status: 503 });
    expect(audited).toEqual([]);
  });
});

describe('before a change', () => {
  const CHANGE = {
    ...{ operation: 'decideByLink', path: '/approvals/{token}', summary: 'Decide', resource: { token: '***' } },
    ...{ caller: undefined, access: undefined, requestId: 'r1', traceId: 't1', signal: ABOUT.signal },
  };

  test('without a caller nobody is named', async () => {
    const { policy, asked } = open(async () => reply({ allowed: true }));
    await askBeforeChange(policy, 'all')(CHANGE)?.(CHANGE);
    expect(asked).toEqual([
      {
        ...{ session_id: 'r1', tenant: '', user: 'unknown', role: 'anonymous', prompt: 'Decide' },
        metadata: { operation: 'decideByLink', resource: { token: '***' } },
      },
    ]);
  });

  const ACTION = '/v1/sessions/{session_id}/actions/{action}';

  test.each(['sessions', 'all'] as const)('starts and messages ask by themselves (%s)', async (scope) => {
    const { policy, asked } = open(async () => reply({ allowed: true }));
    const ask = askBeforeChange(policy, scope);
    for (const path of ['/v1/sessions', '/v1/sessions/start', '/v1/mao/start'])
      expect(ask({ ...CHANGE, path })).toBeUndefined();
    const action = { ...CHANGE, path: ACTION };
    await ask(action)?.({ ...action, resource: { session_id: 's', action: 'message' } });
    expect(asked).toEqual([]);
    await ask(action)?.({ ...action, resource: { session_id: 's', action: 'retry' } });
    expect(asked).toMatchObject([{ metadata: { resource: { session_id: 's', action: 'retry' } } }]);
  });

  test('of sessions, what lies elsewhere is nobody asked about', async () => {
    const { policy, asked } = open(async () => reply({ allowed: false }));
    const ask = askBeforeChange(policy, 'sessions');
    for (const path of ['/workflows', '/approvals/{token}', '/v10/x'])
      expect(ask({ ...CHANGE, path }), path).toBeUndefined();
    const other = { ...CHANGE, path: '/v1/others' };
    await expect(ask(other)?.(other)).rejects.toMatchObject({ code: 'policy_denied' });
    expect(asked).toHaveLength(1);
  });
});
