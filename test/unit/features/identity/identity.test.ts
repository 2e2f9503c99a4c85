/** What an identity service says of a token, for how long that holds, and what follows when it says nothing. */
import { describe, expect, test } from 'vitest';
import { identityEndpoint } from '../../../../src/features/identity/domain.ts';
import { createIssueToken } from '../../../../src/features/identity/issue-token.ts';
import { readIdentityAnswer } from '../../../../src/features/identity/read-answers.ts';
import {
  createTokenVerifier,
  type TokenVerifierDeps,
  type Verified,
} from '../../../../src/features/identity/verify-tokens.ts';
import { verified } from '../../../harness/services/identity-service.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const NOW = Date.parse('2030-01-01T12:00:00Z');
const reply = (body: unknown, status = 200) => ({ status, body });
const read = (more: object) => readIdentityAnswer(reply(verified(more)), NOW);

describe('an answer', () => {
  test('has the user, the tenant, the roles and the id of the token', () => {
    expect(read({ expires_at: '2030-01-01T12:05:00Z' })).toEqual({
      kind: 'verified',
      token: {
        ...{ userId: 'anna', tenantId: 'acme', roles: ['editor'], tokenId: 'token-1' },
        expiresAtMs: NOW + 300_000,
      },
    });
  });

  test.each([
    [{ roles: ['operator', 'boss'] }, ['operator']],
    // What is said of roles decides, also that there is none of ours.
    [{ roles: [] }, []],
    [{ roles: null }, ['editor']],
    [{ roles: undefined, capabilities: ['llm.use', 'worker', 'viewer'] }, ['viewer', 'worker']],
    [{ capabilities: ['Admin', 'admin:all'] }, []],
    [{ capabilities: undefined }, []],
  ])('with %j gives the roles %j', (more, roles) => {
    expect(read(more)).toMatchObject({ token: { roles } });
  });

  test.each([
    ['2030-01-01T12:00:01Z', 1_000],
    ['2030-01-01T12:00:01', 1_000],
    ['2030-01-01 12:00:01.5', 1_500],
    ['2030-01-01T14:00:01+02:00', 1_000],
    ['2030-01-01T14:00:01+0200', 1_000],
    [NOW / 1_000 + 1, 1_000],
  ])('that expires at %j is over in %s ms', (expires_at, ms) => {
    expect(read({ expires_at })).toMatchObject({ token: { expiresAtMs: NOW + ms } });
  });

  test.each(['2030-01-01T12:00:00Z', '2029-12-31', NOW / 1_000, 0])(
    'that has expired at %j is a refusal',
    (expires_at) => {
      expect(read({ expires_at })).toEqual({ kind: 'refused', why: 'expired' });
    },
  );

  test.each([
    ['that it is not valid', reply({ valid: false, user_id: 'anna' })],
    ['that the token is wrong', reply({ detail: 'revoked' }, 401)],
    ['that it lacks a capability', reply({}, 403)],
    ['that it cannot be a token', reply({}, 422)],
  ])('%s is a refusal', (_what, answer) => {
    expect(readIdentityAnswer(answer, NOW)).toMatchObject({ kind: 'refused' });
  });

  test.each([
    ['an error', reply(verified(), 500)],
    ['a wrong address', reply(verified(), 404)],
    ['neither yes nor no', reply(verified({ valid: undefined }))],
    ['yes as a text', reply(verified({ valid: 'true' }))],
    ['no tenant', reply(verified({ tenant_id: undefined }))],
    ['a tenant that is a number', reply(verified({ tenant_id: 7 }))],
    ['a tenant with a line break', reply(verified({ tenant_id: 'acme\nother' }))],
    ['an empty tenant', reply(verified({ tenant_id: '' }))],
    ['no user', reply(verified({ user_id: null }))],
    ['roles that are a text', reply(verified({ roles: 'admin' }))],
    ['an end that is no time', reply(verified({ expires_at: 'soon' }))],
    ['an end on a day that does not exist', reply(verified({ expires_at: '2030-02-31T00:00:00Z' }))],
    ['a list', reply([verified()])],
    ['no JSON', reply(undefined)],
  ])('with %s cannot be used, and is not quoted', (_what, answer) => {
    const found = readIdentityAnswer(answer, NOW);
    expect(found).toMatchObject({ kind: 'unusable' });
    expect(JSON.stringify(found)).not.toMatch(/acme|anna|other/);
  });
});

function open(
  answer: (token: string) => Promise<{ status: number; body: unknown }>,
  more: Partial<TokenVerifierDeps> = {},
) {
  const asked: string[] = [];
  const results: Verified[] = [];
  const time = { now: 0 };
  const log = createTestLog();
  const verify = createTokenVerifier({
    ...{ cachedMs: 30_000, elapsed: () => time.now, now: () => NOW + time.now, log },
    ask: (token) => {
      asked.push(token);
      return answer(token);
    },
    verified: (result) => void results.push(result),
    ...more,
  });
  return { verify, asked, results, time, log };
}

const isAnna = expect.objectContaining({ userId: 'anna', tenantId: 'acme' });

describe('a token', () => {
  test('that is verified holds for the configured time, and then is asked about again', async () => {
    const { verify, asked, time } = open(async () => reply(verified()));
    expect(await verify('one')).toEqual({
      ...{ userId: 'anna', tenantId: 'acme' },
      access: {
        ...{ means: 'identity', credential: 'identity, sub anna, jti token-1', roles: ['editor'], scopes: undefined },
      },
    });
    time.now = 29_999;
    expect(await verify('one')).toEqual(isAnna);
    expect(asked).toEqual(['one']);
    time.now = 30_000;
    expect(await verify('one')).toEqual(isAnna);
    expect(asked).toEqual(['one', 'one']);
  });

  test('never holds past its end', async () => {
    const { verify, asked, time } = open(async () => reply(verified({ expires_at: '2030-01-01T12:00:05Z' })));
    expect(await verify('one')).toEqual(isAnna);
    time.now = 4_999;
    expect(await verify('one')).toEqual(isAnna);
    expect(asked).toHaveLength(1);
    time.now = 5_000;
    expect(await verify('one')).toEqual({ why: 'expired' });
  });

  test('is asked about with every request where nothing is to be cached', async () => {
    const { verify, asked } = open(async () => reply(verified()), { cachedMs: 0 });
    for (let n = 0; n < 3; n += 1) await verify('one');
    expect(asked).toHaveLength(3);
  });

  test('is asked about once, however many requests come with it at the same time', async () => {
    const { verify, asked } = open(async () => reply(verified()));
    await Promise.all(Array.from({ length: 50 }, () => verify('one')));
    expect(asked).toHaveLength(1);
  });

  test('that is refused is refused for five seconds at most', async () => {
    const answers = [reply({}, 401), reply(verified())];
    const { verify, asked, time } = open(async () => answers.shift() ?? reply({}, 500));
    for (let n = 0; n < 3; n += 1) expect(await verify('one')).toEqual({ why: 'identity_401' });
    expect(asked).toHaveLength(1);
    time.now = 5_000;
    expect(await verify('one')).toEqual(isAnna);
  });

  test('that is too long is refused without a question', async () => {
    const { verify, asked } = open(async () => reply(verified()));
    expect(await verify('x'.repeat(8_193))).toEqual({ why: 'too_long' });
    expect(asked).toEqual([]);
  });

  test('is 503 with a time to come back while there is no answer; the next request asks again', async () => {
    const { verify, asked, results, log } = open(() => Promise.reject(new Error('connect ECONNREFUSED')));
    for (let n = 0; n < 2; n += 1) {
      await expect(verify('one')).rejects.toMatchObject({ code: 'unavailable', status: 503, retryAfterSeconds: 2 });
    }
    expect(asked).toHaveLength(2);
    expect(results).toEqual(['unavailable', 'unavailable']);
    expect(log.lines.map(({ event }) => event)).toEqual(['identity_unavailable']);
  });

  test('does not wait behind a service that is slow: beyond so many questions it is 503 at once', async () => {
    let answer = (_: { status: number; body: unknown }): void => undefined;
    const slow = new Promise<{ status: number; body: unknown }>((resolve) => {
      answer = resolve;
    });
    const { verify, asked } = open(() => slow, { maxAsked: 2 });
    const waiting = [verify('one'), verify('two')];
    await expect(verify('three')).rejects.toMatchObject({ status: 503 });
    expect(asked).toEqual(['one', 'two']);
    answer(reply(verified()));
    expect(await Promise.all(waiting)).toEqual([isAnna, isAnna]);
    expect(await verify('three')).toEqual(isAnna);
  });

  test('is forgotten when there is room for no more, the oldest first', async () => {
    const { verify, asked } = open(async () => reply(verified()), { maxCached: 2 });
    for (const token of ['a', 'b', 'c', 'c', 'b', 'a']) await verify(token);
    expect(asked).toEqual(['a', 'b', 'c', 'a']);
  });
});

test('its URL may be that of an endpoint already', () => {
  for (const url of [
    'http://id',
    'http://id/',
    'http://id/v1',
    'http://id/v1/tokens/verify',
    'http://id/v1/tokens/issue/',
  ]) {
    expect(identityEndpoint(url, 'verify').href).toBe('http://id/v1/tokens/verify');
    expect(identityEndpoint(url, 'issue').href).toBe('http://id/v1/tokens/issue');
  }
  expect(identityEndpoint('https://user:word@gateway/id?a=b', 'verify').href).toBe(
    'https://gateway/id/v1/tokens/verify?a=b',
  );
});

test('a service that repeats the token as a name is not believed, so that it is stored nowhere', async () => {
  const token = 'a-token-that-nobody-may-see';
  for (const field of ['user_id', 'tenant_id', 'jti']) {
    const { verify, log } = open(async () => reply(verified({ [field]: token })));
    await expect(verify(token)).rejects.toMatchObject({ status: 503 });
    expect(JSON.stringify(log.lines)).not.toContain(token);
  }
});

describe('a token that is to be issued', () => {
  const REQUEST = { tenantId: 'acme', userId: 'anna', capabilities: ['llm.use'], idempotencyKey: 'run-1:token' };
  const ISSUED = { token: 'the-token-itself', expires_in: 900, token_type: 'bearer' };
  const issuing = (body: unknown, status = 200) => {
    const asked: unknown[] = [];
    const issue = createIssueToken({
      async ask(question, idempotencyKey) {
        asked.push({ ...question, idempotencyKey });
        return reply(body, status);
      },
    });
    return { asked, issue };
  };

  test('is asked for with the key of the step, and never seen', async () => {
    const { asked, issue } = issuing(ISSUED);
    expect(await issue({ ...REQUEST, mfaCode: '123456' })).toEqual({ expires_in: 900, token_type: 'bearer' });
    await issue(REQUEST);
    const question = { user_id: 'anna', tenant_id: 'acme', capabilities: ['llm.use'], idempotencyKey: 'run-1:token' };
    expect(asked).toEqual([{ ...question, mfa_code: '123456' }, question]);
  });

  test.each([
    [400, 'upstream_rejected'],
    [403, 'upstream_rejected'],
    [404, 'upstream_rejected'],
    [429, 'upstream_unavailable'],
    [500, 'upstream_unavailable'],
    [503, 'upstream_unavailable'],
  ])('with %s is %s, which says whether a retry may help', async (status, code) => {
    await expect(issuing(ISSUED, status).issue(REQUEST)).rejects.toMatchObject({ code });
  });

  test.each([
    ['no token', { ...ISSUED, token: undefined }],
    ['no time', { ...ISSUED, expires_in: 'soon' }],
    ['the token as its type', { ...ISSUED, token_type: `bearer ${ISSUED.token}` }],
    ['no JSON', undefined],
  ])('with %s has not been issued, and the answer is not quoted', async (_what, body) => {
    const failed = await issuing(body)
      .issue(REQUEST)
      .catch((error: Error) => error);
    expect(failed).toMatchObject({ code: 'upstream_unavailable' });
    expect(String(failed)).not.toContain(ISSUED.token);
  });
});
