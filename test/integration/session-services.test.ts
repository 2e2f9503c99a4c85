import type { ServerResponse } from 'node:http';
import { afterAll, describe, expect } from 'vitest';
import { accepted, type Client } from '../harness/client/client.ts';
import { type Call, startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { register } from '../support/registered.ts';
import {
  act,
  completionOf,
  endedSession,
  promptIn,
  readSession,
  sessionServices,
  startSession,
} from '../support/sessions.ts';

const memory = await startService();
afterAll(() => memory.close());
const { features } = sessionServices();
// A suffix that is there already is not added twice.
const [onRedis] = onBothBackends({ features, environment: { MEMORY_GATEWAY_URL: `${memory.url}/v1/remember` } });

interface Remembered {
  key: string;
  value: { prompt: string; completion: string };
}

function remembering(): Map<string, unknown> {
  const values = new Map<string, unknown>();
  memory.calls.length = 0;
  memory.answer(({ method, path, body }) => {
    if (method === 'POST') {
      const { key, value } = body as Remembered;
      values.set(key, value);
      return { body: { ok: true } };
    }
    const key = decodeURIComponent(path.replace('/v1/recall/', ''));
    return values.has(key) ? { body: { key, value: values.get(key) } } : { status: 404 };
  });
  return values;
}

async function failures(port: string): Promise<number> {
  const text = await (await fetch(`${port}/metrics`)).text();
  const found = /^orchestrator_memory_failures_total(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1];
  return Number(found ?? 0);
}

async function rounds(api: Client, id: string, count: number): Promise<Record<string, unknown>> {
  return until(async () => {
    const { result } = await readSession(api, id);
    const seen = result as Record<string, unknown> | null;
    return seen?.['rounds'] === count ? seen : undefined;
  });
}

describe.each([onRedis].filter((one) => one !== undefined))('services of sessions on $backend', ({ test }) => {
  test.for([
    ['is in error', () => ({ status: 500 }), 6],
    ['is slow', () => undefined, 6],
    ['breaks off', (_: unknown, response: ServerResponse) => void response.destroy(), 6],
    ['lies', ({ method }: Call) => (method === 'POST' ? { body: {} } : { body: 'not JSON' }), 5],
  ] as const)('a session goes on without its memory, which %s', async ([_, answering, calls], { api }) => {
    memory.calls.length = 0;
    memory.answer(answering);
    const { session_id: id, run_id: runId } = await startSession(api, { metadata: { keep_open: true } });
    await rounds(api, id, 0);
    accepted(await act(api, id, 'message', { payload: { prompt: 'more' } }), 202);
    expect(await rounds(api, id, 1)).toMatchObject({ slm_response: { prompt_summary: 'more' } });
    expect(memory.calls.length).toBeGreaterThanOrEqual(calls);
    const run = await api.execution(runId);
    const remembered = calls === 5;
    expect(run.tasks.find(({ action_id }) => action_id === 'memory')?.output).toEqual({ remembered });
    accepted(await act(api, id, 'cancel'), 202);
    await endedSession(api, id);
  });

  test('each session has one entry in the audit, with its audit id and without its texts', async ({ api, db }) => {
    remembering();
    const { session_id: id, run_id: runId } = await startSession(api, { prompt: 'a secret prompt' });
    const { result } = await endedSession(api, id);
    const { rows } = await db.query('SELECT * FROM audit_entry WHERE resource_id = $1', [id]);
    expect(rows).toEqual([
      expect.objectContaining({
        tenant_id: 'default',
        actor: 'anonymous',
        action: 'session.completed',
        resource_type: 'session',
        decision: 'allowed',
        details: {
          audit_id: (result as { audit_event_id: string }).audit_event_id,
          execution_id: runId,
          status: 'completed',
          policy: { allowed: true, score: 0.1, severity: 'low' },
          token: { expires_in: 900, token_type: 'bearer' },
        },
      }),
    ]);
    expect(JSON.stringify(rows)).not.toContain('secret prompt');
  });

  test('the completion is that of the service llm_gateway, which gets the key of its task', async ({
    api,
    service,
  }) => {
    remembering();
    await register(api, { llm_gateway: service.url });
    service.answer(({ path, body }) => {
      const prompt = promptIn(body);
      if (prompt === 'plain') return { body: { completion: 'of a plain gateway' } };
      return path === '/v1/chat/completions' ? { body: completionOf(`about ${prompt}`) } : { status: 404 };
    });
    const metadata = { session_id: 'asked', lang: 'en' };
    const { run_id: runId } = await startSession(api, { prompt: 'the report', model: 'large', metadata });
    const { result } = await endedSession(api, 'asked');
    expect(result).toMatchObject({
      slm_response: { completion: 'about the report', prompt_summary: 'the report', model: 'theirs' },
    });
    expect((result as { slm_response: object }).slm_response).not.toHaveProperty('simulated');
    expect(service.calls).toHaveLength(1);
    expect(service.calls[0]).toMatchObject({
      method: 'POST',
      idempotencyKey: `${runId}.1.completion`,
      body: {
        model: 'large',
        messages: [{ role: 'user', content: 'the report' }],
        user: 'ada',
        metadata: { session_id: 'asked', tenant: 'default' },
      },
    });
    const other = await startSession(api, { prompt: 'plain' });
    expect((await endedSession(api, other.session_id))['result']).toMatchObject({
      slm_response: { completion: 'of a plain gateway', model: 'somagent-demo' },
    });
  });

  test('a gateway of models that rejects or answers nonsense fails the session, which says why', async ({
    api,
    service,
  }) => {
    remembering();
    await register(api, { llm_gateway: service.url });
    service.answer(() => ({ status: 422, body: 'too long' }));
    const { session_id: id } = await startSession(api);
    expect(await endedSession(api, id)).toMatchObject({
      status: 'failed',
      error: { code: 'upstream_rejected', action_id: 'completion' },
    });
    service.answer(() => (service.calls.length < 4 ? { body: { text: 'nothing' } } : { body: { completion: 'late' } }));
    accepted(await act(api, id, 'retry'), 202);
    expect((await endedSession(api, id))['result']).toMatchObject({ slm_response: { completion: 'late' } });
  });

  test('each round is remembered, and recalled before the next', async ({ api, service }) => {
    const values = remembering();
    await register(api, { llm_gateway: service.url });
    service.answer(({ body }) => ({ body: completionOf(`about ${promptIn(body)}`) }));
    const metadata = { session_id: 'kept/1', keep_open: true };
    await startSession(api, { tenant: 'acme', prompt: 'zero', metadata });
    await rounds(api, 'kept/1', 0);
    for (const prompt of ['one', 'x'.repeat(60_000)]) {
      accepted(await act(api, 'kept/1', 'message', { payload: { prompt } }), 202);
    }
    await rounds(api, 'kept/1', 2);
    const key = (round: number) => `session:acme:kept/1:${round}`;
    expect([...values.keys()]).toEqual([key(0), key(1), key(2)]);
    expect(values.get(key(0))).toMatchObject({ prompt: 'zero', completion: 'about zero', model: 'theirs' });
    expect(Buffer.byteLength(JSON.stringify(values.get(key(2))))).toBeLessThanOrEqual(65_536);
    const sent = service.calls.map(({ body }) => (body as { messages: Array<{ content: string }> }).messages);
    expect(sent.map((messages) => messages.slice(0, -1).map(({ content }) => content))).toEqual([
      [],
      ['zero', 'about zero'],
      ['one', 'about one'],
    ]);
    accepted(await act(api, 'kept/1', 'cancel'), 202);
    await endedSession(api, 'kept/1');
  });
});

const [alone] = onBothBackends({ features, workers: 0, environment: { MEMORY_GATEWAY_URL: memory.url } });

describe.each([alone].filter((one) => one !== undefined))('memory that was given up on $backend', ({ test }) => {
  test('is counted by the worker', async ({ api, stack }) => {
    memory.answer(() => ({ status: 503 }));
    const { port } = await stack.add('worker');
    const { session_id: id } = await startSession(api);
    await endedSession(api, id);
    expect(await failures(`http://127.0.0.1:${port}`)).toBe(1);
  });
});
