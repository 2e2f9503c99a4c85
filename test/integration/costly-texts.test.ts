/**
 * What tenants write may be costly to look at: expressions, patterns, schemas. It is bounded, it is looked at in threads, and
 * however much of it one tenant brings, the API answers and other tenants have their turns.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { type Answer, accepted, type Client, list, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { register } from '../support/registered.ts';
import { echo, workflow } from '../support/test-task.ts';

const [onRedis] = onBothBackends();
if (onRedis === undefined) throw new Error('there is no backend');
const { test } = onRedis;

const COSTLY_PATTERN = '[ab]*a[ab]{900}[xy]';
/**
 * As costly as a pattern may be. With a word boundary it is followed state by state, which takes time and no memory; without
 * one the engine keeps the sets of states that it has seen.
 */
const ALLOWED_PATTERN = (n: number) => `[ab]*a[ab]{580}\\b[x${String.fromCharCode(200 + n)}]`;
/** No two places of it look alike to such a pattern, so that nothing it has found out at one helps it at another. */
const costlyText = (seed: number) => {
  let state = seed + 1;
  const next = () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return (state & 65_536) === 0 ? 'a' : 'b';
  };
  return Array.from({ length: 4_000 }, next).join('');
};
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name });

/** How often /livez was asked and answered while the request was under way. */
async function livesWhile(api: Client, request: Promise<Answer>): Promise<{ answer: Answer; lives: number }> {
  let isOver = false;
  const over = request.finally(() => {
    isOver = true;
  });
  let lives = 0;
  while (!isOver) {
    expect((await api.get('/livez')).status).toBe(200);
    if (!isOver) lives += 1;
    await sleep(5);
  }
  return { answer: await over, lives };
}

const errorsOf = (answer: Answer) => list(answer, 'errors') as Array<{ path: string; message: string }>; // Of a problem document.

describe('expressions', () => {
  test('of a definition of one megabyte that is mostly blanks are refused, each with its field and the limit', async ({
    api,
    db,
  }) => {
    const padded = (n: number) => `size(a${n}${' '.repeat(9_900)}) > 0`;
    const actions = Array.from({ length: 100 }, (_, n) => echo(`b${n}`, [], {}, { when: padded(n) }));
    const answer = await api.post('/workflows', workflow([echo('a'), ...actions]));
    expectProblem(answer, 422, 'definition_invalid');
    expect(errorsOf(answer)).toHaveLength(100);
    expect(errorsOf(answer)[7]).toEqual({
      path: 'actions.8.when',
      message: expect.stringContaining('longer than 2000 characters'),
    });
    expect((await db.query('SELECT FROM workflow')).rowCount).toBe(0);
  });

  test('that take long to parse are parsed while the API answers others, and what fits is accepted', async ({
    api,
  }) => {
    const chain = (n: number) => `[${'a.n>0?1:2,'.repeat(190)}${n}] == []`;
    const actions = Array.from({ length: 40 }, (_, n) => echo(`b${n}`, ['a'], {}, { when: chain(n) }));
    const { answer, lives } = await livesWhile(api, api.post('/workflows', workflow([echo('a'), ...actions])));
    expect(answer.status).toBe(422);
    expect(errorsOf(answer)[0]?.message).toContain('more than 1000 parts');
    expect(lives).toBeGreaterThan(5);

    const padded = `a.n   >\n\n   1 // ${'note '.repeat(20)}\n   && "two  blanks" == "two  blanks"`;
    const id = await api.createWorkflow(workflow([echo('a', [], { n: 2 }), echo('b', [], {}, { when: padded })]));
    expect(accepted(await api.get(`/workflows/${id}`), 200).body).toMatchObject({
      actions: [{ action_id: 'a' }, { action_id: 'b', when: padded, depends_on: ['a'] }],
    });
    expect(await api.finished(await api.execute(id))).toMatchObject({ status: 'completed', output: { b: {} } });
  });

  test('are bounded wherever one is taken', async ({ api }) => {
    const long = `"${'x'.repeat(2_000)}" == ""`;
    const one = (action: object, more: object = {}) => workflow([{ ...echo('a'), ...action }], more);
    const transform = { action_type: 'transform', config: { outputs: { x: long } } };
    const call = { action_type: 'service_call', config: { url: 'http://127.0.0.1:9/', expect: { when: long } } };
    const places: Array<[string, object]> = [
      ['actions.0.when', one({ when: long })],
      ['actions.0.repeat.until', one({ repeat: { until: long, max_iterations: 2 } })],
      ['actions.0.for_each.items', one({ for_each: { items: long } })],
      ['actions.0.config.outputs.x', one(transform)],
      ['actions.0.config.expect.when', one(call)],
      ['actions.0.compensate.config.outputs.x', one({ compensate: transform })],
      ['triggers.0.filter', one({}, { triggers: [{ event: 'x', filter: long }] })],
    ];
    for (const [path, definition] of places) {
      const answer = await api.post('/workflows', definition);
      expectProblem(answer, 422, 'definition_invalid');
      expect(errorsOf(answer)).toEqual([{ path, message: expect.stringContaining('longer than 2000 characters') }]);
    }
    const id = await api.createWorkflow(workflow([echo('a')]));
    expectProblem(await api.send('PUT', `/workflows/${id}`, one({ when: long })), 422, 'definition_invalid');
    const kept = { template_name: 'mine', definition: one({ when: long }) };
    expectProblem(await api.post('/workflows/templates', kept), 422, 'definition_invalid');
    const task = await api.post('/assign-task', { task_type: 'transform', params: { expression: long } });
    expectProblem(task, 400, 'invalid_request');
    expect(errorsOf(task)).toEqual([
      { path: 'params.expression', message: expect.stringContaining('2000 characters') },
    ]);
  });
});

describe('patterns', () => {
  const withPattern = (pattern: string) =>
    workflow([echo('a')], { parameters: [{ name: 'p', type: 'string', pattern, required: true }] });
  const waiting = (schema: object) =>
    workflow([{ action_id: 'a', action_type: 'signal', config: { name: 's', schema } }]);

  test('whose program is too large are refused, in parameters and in schemas of signals', async ({ api }) => {
    const ofParameter = await api.post('/workflows', withPattern(COSTLY_PATTERN));
    expectProblem(ofParameter, 422, 'definition_invalid');
    expect(errorsOf(ofParameter)).toEqual([
      { path: 'parameters.0.pattern', message: expect.stringContaining('more than 600 steps') },
    ]);
    const ofSignal = await api.post('/workflows', waiting({ properties: { x: { pattern: COSTLY_PATTERN } } }));
    expectProblem(ofSignal, 422, 'definition_invalid');
    expect(errorsOf(ofSignal)).toEqual([
      { path: 'actions.0.config.schema.properties.x.pattern', message: expect.stringContaining('600 steps') },
    ]);
    const params = { name: 's', schema: { patternProperties: { [COSTLY_PATTERN]: true } } };
    const ofTask = await api.post('/assign-task', { task_type: 'signal', params });
    expectProblem(ofTask, 400, 'invalid_request');
    expect(errorsOf(ofTask)[0]?.path).toBe(`params.schema.patternProperties.${COSTLY_PATTERN}`);
    const many = { allOf: Array.from({ length: 51 }, (_, n) => ({ pattern: `^${n}` })) };
    const ofMany = await api.post('/workflows', waiting(many));
    expectProblem(ofMany, 422, 'definition_invalid');
    expect(errorsOf(ofMany)).toEqual([
      { path: 'actions.0.config.schema', message: expect.stringContaining('more than 50 patterns') },
    ]);
  });

  test('are tried on 4,096 characters and no more', async ({ api }) => {
    const id = await api.createWorkflow(withPattern('^a+$'));
    const execute = (length: number) => api.post(`/workflows/${id}/execute`, { parameters: { p: 'a'.repeat(length) } });
    const longer = await execute(4_097);
    expectProblem(longer, 400, 'parameter_validation_failed');
    expect(errorsOf(longer)).toEqual([
      { path: 'parameters.p', message: expect.stringMatching(/^has 4097 characters; .* at most 4096$/) },
    ]);
    const { execution_id } = accepted(await execute(4_096), 202).body as { execution_id: string }; // As the document says.
    await api.finished(execution_id);
    expectProblem(
      await api.post('/schedules', { name: 's', workflow_id: id, cron: '0 0 1 1 *', parameters: { p: 'b' } }),
      400,
      'parameter_validation_failed',
    );

    const run = await api.execute(await api.createWorkflow(waiting({ properties: { x: { pattern: '^a+$' } } })));
    const send = (length: number) =>
      api.post(`/workflows/executions/${run}/signals/s`, { payload: { x: 'a'.repeat(length) } });
    const tooLong = await send(4_097);
    expectProblem(tooLong, 400, 'invalid_request');
    expect(errorsOf(tooLong)).toEqual([
      { path: 'payload.x', message: expect.stringMatching(/^has 4097 characters; .* at most 4096$/) },
    ]);
    accepted(await send(4_096), 202);
    await api.finished(run);
  });

  test('that take long together are given up, while the API answers others', async ({ api }) => {
    // Few patterns, as each compiled one takes memory, and many texts.
    const allOf = Array.from({ length: 6 }, (_, n) => ({ pattern: ALLOWED_PATTERN(n) }));
    const run = await api.execute(await api.createWorkflow(waiting({ items: { allOf } })));
    const payload = Array.from({ length: 60 }, (_, n) => costlyText(n));
    const { answer, lives } = await livesWhile(api, api.post(`/workflows/executions/${run}/signals/s`, { payload }));
    expectProblem(answer, 504, 'expression_timeout');
    expect(lives).toBeGreaterThan(20);
    accepted(await api.post(`/workflows/executions/${run}/signals/s`, { payload: [] }), 202);
    await api.finished(run);
  });

  test('of a service that cost too much are not checked: the service says itself what it does not take', async ({
    api,
    service,
  }) => {
    const field = (pattern: string) => ({ type: 'string', pattern });
    const properties = { code: field(COSTLY_PATTERN), sku: field('^[A-Z]+$') };
    const document = {
      openapi: '3.1.0',
      info: { title: 't', version: '1' },
      paths: {
        '/things': {
          post: {
            operationId: 'make',
            requestBody: { content: { 'application/json': { schema: { type: 'object', properties } } } },
            responses: { 200: { description: 'ok' } },
          },
        },
      },
    };
    service.answer(({ path }) => ({ body: path === '/openapi.json' ? document : {} }));
    await register(api, { maker: service.url });
    accepted(await api.post('/registry/poll-openapi', { services: ['maker'] }), 200);
    const call = async (parameters: object) =>
      api.ended(
        await api.assign({ task_type: 'service_call', params: { service: 'maker', operation_id: 'make', parameters } }),
      );
    expect(await call({ sku: 'abc' })).toMatchObject({ status: 'failed', error: expect.stringContaining('sku') });
    expect(await call({ sku: 'ABC', code: 'anything' })).toMatchObject({ status: 'completed' });
  });
});

describe('turns', () => {
  const LIST = `[${Array.from({ length: 20 }, (_, index) => index).join(',')}]`;
  /** Takes some tens of milliseconds, and is true. */
  const SLOW = `size(${LIST}.map(x, ${LIST}.map(y, size(${LIST}.map(z, z + x + y)) > 0))) > 0`;

  test('the condition of another tenant comes before most of a hundred slow ones', async ({ api: any, db }) => {
    const noisy = tenant(any, 'noisy');
    const quiet = tenant(any, 'quiet');
    const slow = await noisy.createWorkflow(workflow([echo('a', [], {}, { when: SLOW })]));
    const quick = await quiet.createWorkflow(workflow([echo('a', [], { n: 7 }, { when: 'params.n == 7' })]));
    const items = Array.from({ length: 100 }, () => ({}));
    accepted(await noisy.post(`/workflows/${slow}/executions`, { items }), 202);
    const ended = async (where = 'true', values: string[] = []) => {
      const { rows } = await db.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM run r WHERE tenant_id = 'noisy' AND final AND ${where}`,
        values,
      );
      return rows[0]?.n ?? 0;
    };
    await until(async () => (await ended()) > 0, { what: 'slow conditions are under way' });
    const id = await quiet.execute(quick, { parameters: { n: 7 } });
    expect(await quiet.finished(id)).toMatchObject({ output: { a: { n: 7 } } });
    const inBetween = await ended(
      'EXISTS (SELECT FROM run q WHERE q.id = $1 AND r.finished_at BETWEEN q.created_at AND q.finished_at)',
      [id],
    );
    // As many as wait for a thread at once would have come before it.
    expect(inBetween).toBeLessThan(30);
    await until(async () => (await ended()) === 100, { what: 'all have had their turns', timeoutMs: 240_000 });
    expect(await ended("status = 'completed'")).toBe(100);
  });
});
