import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { NO_FAILPOINT } from '../../../../src/engine/ports/failpoint.ts';
import {
  createDeliveryPump,
  type DeliveryDeps,
  webhookDelay,
} from '../../../../src/features/webhooks/deliver-webhooks.ts';
import type { DueDelivery, WebhookDeliveryStore } from '../../../../src/features/webhooks/ports.ts';
import { webhookRequest } from '../../../../src/features/webhooks/schemas.ts';
import { makeWebhookSecret, webhookHeaders } from '../../../../src/features/webhooks/sign-webhook.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const NOW = new Date('2030-01-01T12:00:00.000Z');

describe('the signature', () => {
  test('is that of Standard Webhooks: the example of their documentation', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const body = '{"test": 2432232314}';
    const at = new Date(1_614_265_330_000);
    expect(webhookHeaders([secret], 'msg_p5jXN8AQM9LWM0D4loKWxJek', at, body)).toMatchObject({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  test('is there once for each secret, and not at all without one', () => {
    const of = (key: Buffer | string) => `v1,${createHmac('sha256', key).update('id.1893499200.{}').digest('base64')}`;
    expect(
      webhookHeaders(['a plain text of some length', 'whsec_aGVsbG8='], 'id', NOW, '{}')['webhook-signature'],
    ).toBe(`${of('a plain text of some length')} ${of(Buffer.from('hello'))}`);
    expect(webhookHeaders([], 'id', NOW, '{}')).not.toHaveProperty('webhook-signature');
    expect(makeWebhookSecret((bytes) => Buffer.alloc(bytes, 1))).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  });
});

test('what can be listened to is checked', () => {
  const faultsOf = (fields: object) =>
    webhookRequest.safeParse({ url: 'https://example.com/x', events: ['run.*'], ...fields }).error?.issues.length ?? 0;
  for (const events of [['*'], ['run.*', 'task.failed'], ['task.upstream_failed']])
    expect(faultsOf({ events })).toBe(0);
  for (const events of [[], ['run'], ['job.done'], ['run.Completed'], ['*.completed'], ['run.%']])
    expect(faultsOf({ events })).toBe(1);
  for (const url of ['ftp://example.com', 'example.com', 'https://u:p@example.com/']) expect(faultsOf({ url })).toBe(1);
  expect(faultsOf({ secret: 'short' })).toBe(1);
});

test('the delays grow to a day, lose a fifth at most, and end', () => {
  const delays = Array.from({ length: 11 }, (_, n) => webhookDelay(n + 1, 0));
  expect(delays.at(-1)).toBeUndefined();
  const known = delays.flatMap((delay) => delay ?? []);
  expect(known).toEqual([...known].sort((a, b) => a - b));
  expect(known.reduce((sum, delay) => sum + delay, 0)).toBeGreaterThan(2.5 * 86_400);
  expect(webhookDelay(1, 0.999)).toBeGreaterThan(4);
});

describe('the pump', () => {
  const delivery = (id: string, webhookId: string): DueDelivery => ({
    id,
    webhookId,
    lane: webhookId,
    host: `${webhookId}.example`,
    kind: 'run.completed',
    runId: 'r',
    actionId: null,
    epoch: 1,
    attempt: null,
    data: null,
    at: NOW,
    status: 'pending',
    attempts: 1,
    dueAt: NOW,
    lastStatus: null,
    lastError: null,
    endedAt: null,
    url: `https://${webhookId}.example/`,
    secrets: [],
    workflowId: 'w',
    correlationId: null,
    tenantId: 't',
    traceId: null,
  });

  function pumpOf(rounds: DueDelivery[][], fetch: DeliveryDeps['fetch'], breakers = true) {
    const marked: unknown[] = [];
    const asked: Array<Record<string, number>> = [];
    const deliveries: WebhookDeliveryStore = {
      async takeDue({ lanes }) {
        asked.push(Object.fromEntries(lanes));
        return rounds.shift() ?? [];
      },
      async endOf({ runId }) {
        if (runId === 'unreadable') throw new Error('no key');
        const end = { status: 'completed', output: 1, error: null, correlationId: null, createdAt: new Date(0) };
        const of = { id: runId ?? '', workflowId: null, workflowVersion: null, finishedAt: null };
        return runId === 'restarted' ? undefined : { ...end, ...of };
      },
      async delivered({ id }, status) {
        marked.push([id, status]);
      },
      async failed({ id }, { error, gone, unavailable }, again) {
        marked.push([id, error, gone, unavailable, again !== undefined]);
        return gone;
      },
      removeOld: async () => 0,
    };
    const log = createTestLog();
    const pump = createDeliveryPump({
      deliveries,
      fetch,
      breakers,
      callbackSecrets: [],
      now: () => NOW,
      random: () => 0,
      failpoint: NO_FAILPOINT,
      calls: undefined,
      log,
    });
    return { pump, marked, asked, log };
  }

  test('a slow one delays itself alone', async () => {
    let finish: () => void = () => undefined;
    const slow = new Promise<{ status: number }>((resolve) => {
      finish = () => resolve({ status: 204 });
    });
    const { pump, marked, asked } = pumpOf(
      [[delivery('1', 'slow'), delivery('2', 'quick')], [delivery('3', 'quick')]],
      (url) => (url.includes('slow') ? slow : Promise.resolve({ status: 200 })),
    );
    const { signal } = new AbortController();
    await pump.pass(signal);
    await new Promise((resolve) => setImmediate(resolve));
    await pump.pass(signal);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual([{}, { slow: 1 }]);
    expect(marked).toEqual([
      ['2', 200],
      ['3', 200],
    ]);
    finish();
    await pump.idle();
    expect(marked.at(-1)).toEqual(['1', 204]);
  });

  test('an answer that is no success, no answer, and one that says that nobody is there', async () => {
    const answers = [
      { status: 500 },
      new Error('connect ECONNREFUSED'),
      { status: 302 },
      { status: 410 },
      { status: 503 },
    ];
    const { pump, marked, log } = pumpOf([answers.map((_, n) => delivery(String(n), 'w'))], async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer ?? { status: 200 };
    });
    await pump.pass(new AbortController().signal);
    await pump.idle();
    expect(marked).toEqual([
      ['0', 'answered 500', false, false, true],
      ['1', 'connect ECONNREFUSED', false, true, true],
      ['2', 'answered 302', false, false, true],
      ['3', 'answered 410', true, false, true],
      ['4', 'answered 503', false, true, true],
    ]);
    expect(log.lines.map(({ event }) => event)).toContain('webhook_disabled');
  });

  test('without circuit breakers a host that does not answer counts as one that does', async () => {
    const none = () => Promise.reject(new Error('connect ECONNREFUSED'));
    const { pump, marked } = pumpOf([[delivery('1', 'w')]], none, false);
    await pump.pass(new AbortController().signal);
    await pump.idle();
    expect(marked).toEqual([['1', 'connect ECONNREFUSED', false, false, true]]);
  });

  test('a callback reports how its run ended; one that was started again, or cannot be read, sends nothing', async () => {
    const bodies: unknown[] = [];
    const callback = (id: string, runId: string) => ({
      ...delivery(id, 'x'),
      webhookId: null,
      kind: 'callback',
      runId,
    });
    const { pump, marked } = pumpOf(
      [[callback('r.1', 'r'), callback('s.1', 'restarted'), callback('u.1', 'unreadable')]],
      async (_url, { body }) => {
        bodies.push(JSON.parse(body));
        return { status: 200 };
      },
    );
    await pump.pass(new AbortController().signal);
    await pump.idle();
    expect(bodies).toMatchObject([
      { task_id: 'r', status: 'completed', created_at: '1970-01-01T00:00:00.000Z', finished_at: null },
    ]);
    expect(marked.sort()).toEqual([
      ['r.1', 200],
      ['s.1', expect.stringContaining('started again'), false, false, false],
      ['u.1', 'no key', false, false, true],
    ]);
  });

  test('the end of the worker is no failure of the other side', async () => {
    const stopping = new AbortController();
    const { pump, marked } = pumpOf([[delivery('1', 'w')]], async () => {
      stopping.abort();
      throw new Error('aborted');
    });
    await pump.pass(stopping.signal);
    await pump.idle();
    expect(marked).toEqual([]);
  });
});
