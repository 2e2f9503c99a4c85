import { createHmac } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { createRequestLimit } from '../../../../src/engine/accept/request-limits.ts';
import type { Caller } from '../../../../src/engine/ports/use-cases.ts';
import { webhookHeaders } from '../../../../src/features/webhooks/sign-webhook.ts';
import { verifyWebhook } from '../../../../src/features/webhooks/verify-webhook.ts';
import { clientAddress } from '../../../../src/http/middleware/client-address.ts';
import type { ApiLimits } from '../../../../src/http/middleware/limits.ts';
import { createStreamSlots } from '../../../../src/http/middleware/stream-slots.ts';
import { type Door, NOW, openDoor } from '../../../support/http-app.ts';

const OLD = 'whsec_b2xkIHNlY3JldCBvZiB0aGUgc2VuZGVy';
const NEW = 'whsec_bmV3IHNlY3JldCBvZiB0aGUgc2VuZGVy';
const OTHER = 'a plain secret of another tenant';
const SECRETS = new Map([
  ['acme', [NEW, OLD]],
  ['other', [OTHER]],
]);
const EVENT = { specversion: '1.0', id: 'e-1', source: 'shop', type: 'order.paid', data: { order: 7 } };
const BODY = JSON.stringify(EVENT);

describe('a signature', () => {
  const message = (headers: Record<string, string>, body: string | Buffer = BODY) => ({
    id: headers['webhook-id'],
    timestamp: headers['webhook-timestamp'],
    signature: headers['webhook-signature'],
    body: Buffer.from(body),
  });
  const signed = (secret: string, at = NOW) => webhookHeaders([secret], 'msg_1', at, BODY);
  const seconds = (n: number) => new Date(NOW.getTime() + n * 1_000);
  const OWN = [NEW, OLD];

  test('verifies the example of the standard', () => {
    const verdict = verifyWebhook(
      ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      {
        id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        timestamp: '1614265330',
        signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
        body: Buffer.from('{"test": 2432232314}'),
      },
      new Date(1_614_265_330_000),
    );
    expect(verdict).toBeUndefined();
  });

  test.each([
    ['the newer secret', signed(NEW), undefined],
    ['the older one', signed(OLD), undefined],
    ['that of another tenant', signed(OTHER), 'wrong_signature'],
    ['both, as while it is changed', webhookHeaders(['nobody knows this secret', OLD], 'msg_1', NOW, BODY), undefined],
    ['one that nobody has', signed('nobody knows this secret'), 'wrong_signature'],
    ['300 s ago', signed(NEW, seconds(-300)), undefined],
    ['301 s ago', signed(NEW, seconds(-301)), 'too_old'],
    ['300 s ahead', signed(NEW, seconds(300)), undefined],
    ['301 s ahead', signed(NEW, seconds(301)), 'too_new'],
    ['another id', { ...signed(NEW), 'webhook-id': 'msg_2' }, 'wrong_signature'],
    ['another time', { ...signed(NEW), 'webhook-timestamp': String(NOW.getTime() / 1_000 + 1) }, 'wrong_signature'],
    [
      'another version',
      { ...signed(NEW), 'webhook-signature': (signed(NEW)['webhook-signature'] ?? '').replace('v1,', 'v1a,') },
      'wrong_signature',
    ],
    ['nothing', { ...signed(NEW), 'webhook-signature': '' }, 'wrong_signature'],
    [
      'half of it',
      { ...signed(NEW), 'webhook-signature': (signed(NEW)['webhook-signature'] ?? '').slice(0, 30) },
      'wrong_signature',
    ],
    ['a time that is none', { ...signed(NEW), 'webhook-timestamp': 'now' }, 'incomplete'],
    ['a dot in the id', { ...signed(NEW), 'webhook-id': 'msg_1.1' }, 'incomplete'],
  ])('with %s: %j is %j', (_what, headers, refusal) => {
    expect(verifyWebhook(OWN, message(headers), NOW)).toBe(refusal);
  });

  test('is of the bytes, not of what they mean', () => {
    expect(verifyWebhook(OWN, message(signed(NEW), `${BODY} `), NOW)).toBe('wrong_signature');
    expect(verifyWebhook(OWN, { ...message(signed(NEW)), id: undefined }, NOW)).toBe('incomplete');
  });

  test('is tried with sixteen secrets and no more', () => {
    const others = (count: number) => Array.from({ length: count }, (_, n) => `the secret of sender number ${n}`);
    expect(verifyWebhook([...others(15), NEW], message(signed(NEW)), NOW)).toBeUndefined();
    expect(verifyWebhook([...others(16), NEW], message(signed(NEW)), NOW)).toBe('wrong_signature');
  });
});

describe('POST /events', () => {
  const doors: Door[] = [];
  afterEach(async () => {
    await Promise.all(doors.splice(0).map((door) => door.close()));
  });

  async function open({ secrets = SECRETS, mostWrong }: { secrets?: Map<string, string[]>; mostWrong?: number } = {}) {
    const rejected: string[] = [];
    const counts = new Map<string, number>();
    const signatures = createRequestLimit({
      limit: mostWrong ?? 1_000,
      counts: {
        add(key) {
          counts.set(key, (counts.get(key) ?? 0) + 1);
          return Promise.resolve({ count: counts.get(key) ?? 0, resetMs: 60_000 });
        },
      },
      now: () => 0,
    });
    const limits: ApiLimits = {
      ...{ addressOf: clientAddress(1), requests: undefined, failures: undefined, streams: createStreamSlots(500) },
      ...{ signatures, signatureRejected: (reason) => rejected.push(reason) },
    };
    const received: Array<{ caller: Caller; ids: string[] }> = [];
    const door = await openDoor(
      { apiKeys: ['key-1'], inboundWebhookSecrets: secrets, trustProxy: 1 },
      {
        limits,
        incoming: {
          receive(caller, events) {
            received.push({ caller, ids: events.map(({ id }) => id) });
            return Promise.resolve({ accepted: events.length, repeated: 0, outcomes: [], pending: [] });
          },
        },
      },
    );
    doors.push(door);
    const send = (headers: Record<string, string>, body = BODY, path = '/events') =>
      door.fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'application/cloudevents+json', ...headers },
        body,
      });
    return { door, send, received, rejected };
  }

  const signed = (secret = NEW, body = BODY) => webhookHeaders([secret], 'msg_1', NOW, body);
  const only = ({
    'webhook-id': id = '',
    'webhook-timestamp': at = '',
    'webhook-signature': by = '',
  }: Record<string, string>) => ({
    'webhook-id': id,
    'webhook-timestamp': at,
    'webhook-signature': by,
  });

  const ACME = { 'x-tenant-id': 'acme' };

  test('takes what is signed for the tenant that it names, whatever else the request says', async () => {
    const { send, received } = await open();
    const answer = await send({ ...only(signed()), ...ACME, 'x-user-id': 'root' });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toMatchObject({ accepted: 1 });
    expect((await send(only(signed(OTHER)), BODY, '/events/?tenant_id=other')).status).toBe(202);
    expect(received).toMatchObject([
      { caller: { tenantId: 'acme', userId: 'webhook' }, ids: ['e-1'] },
      { caller: { tenantId: 'other', userId: 'webhook' }, ids: ['e-1'] },
    ]);
  });

  test('tries the secrets of no other tenant, and says the same of one that has none', async () => {
    const { send, received, rejected } = await open();
    const details: unknown[] = [];
    for (const tenant of ['other', 'nobody']) {
      const answer = await send({ ...only(signed()), 'x-tenant-id': tenant });
      expect(answer.status).toBe(401);
      details.push(((await answer.json()) as { detail: string }).detail);
    }
    expect(details[0]).toBe(details[1]);
    const unnamed = await send(only(signed()));
    expect([unnamed.status, await unnamed.json()]).toMatchObject([
      401,
      { detail: expect.stringContaining('X-Tenant-ID') },
    ]);
    expect((await send({ ...only(signed()), ...ACME }, BODY, '/events?tenant_id=other')).status).toBe(400);
    expect((await send({ ...only(signed()) }, BODY, '/events?tenant_id=a&tenant_id=b')).status).toBe(400);
    expect((await send({ 'x-api-key': 'key-1' }, BODY, '/events?tenant_id=other')).status).toBe(403);
    expect(received).toEqual([]);
    expect(rejected).toEqual(['wrong_signature', 'wrong_signature', 'no_tenant']);
  });

  test('a sender need not name the only tenant that has secrets', async () => {
    const { send, received } = await open({ secrets: new Map([['acme', [NEW, OLD]]]) });
    expect((await send(only(signed()))).status).toBe(202);
    expect(received).toMatchObject([{ caller: { tenantId: 'acme' } }]);
  });

  test('wrong signatures are counted by tenant and address, and slowed; right ones pass all the same', async () => {
    const { send, received, rejected } = await open({ mostWrong: 3 });
    const wrong = (tenant: string, from: string) => {
      const headers = { 'x-tenant-id': tenant, 'x-forwarded-for': from };
      return send({ ...only(signed('nobody knows this secret')), ...headers });
    };
    const [here, there] = ['192.0.2.1', '192.0.2.2'];
    for (let n = 0; n < 3; n += 1) expect((await wrong('acme', here)).status).toBe(401);
    const over = await wrong('acme', here);
    expect([over.status, over.headers.get('retry-after')]).toEqual([429, '60']);
    // Of the same address and tenant, among those that go on guessing.
    const guesses = Array.from({ length: 5 }, () => wrong('acme', here));
    expect((await send({ ...only(signed()), ...ACME, 'x-forwarded-for': here })).status).toBe(202);
    expect((await Promise.all(guesses)).map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 429));
    // Others are not slowed.
    expect((await wrong('acme', there)).status).toBe(401);
    expect((await wrong('other', here)).status).toBe(401);
    expect(received).toHaveLength(1);
    expect(rejected).toHaveLength(11);
  });

  test.each([
    ['a wrong signature', only(signed('nobody knows this secret')), BODY, 401],
    ['another body', only(signed()), JSON.stringify({ ...EVENT, id: 'e-2' }), 401],
    ['no id', { 'webhook-signature': signed()['webhook-signature'] ?? '' }, BODY, 401],
    ['no signature', {}, BODY, 401],
    [
      'attributes in headers, which are not signed',
      { ...only(signed()), 'ce-id': 'e-9', 'ce-specversion': '1.0' },
      BODY,
      400,
    ],
    ['a wrong key beside it', { ...only(signed()), 'x-api-key': 'wrong' }, BODY, 401],
  ])('refuses what comes with %s', async (_what, headers: Record<string, string>, body, status) => {
    const { send, received } = await open();
    expect((await send({ ...ACME, ...headers }, body)).status).toBe(status);
    expect(received).toEqual([]);
  });

  test('a signature opens nothing but events', async () => {
    const { door, send } = await open();
    for (const path of ['/assign-task', '/workflows', '/events/x']) {
      const body = JSON.stringify({ task_type: 'test_task' });
      expect((await send({ ...only(signed(NEW, body)), 'content-type': 'application/json' }, body, path)).status).toBe(
        401,
      );
    }
    expect((await door.fetch('/tasks', { headers: only(signed()) })).status).toBe(401);
    expect(door.asked.tasks).toEqual([]);
  });

  test('what is signed is no larger than anything else', async () => {
    const { send } = await open();
    const large = JSON.stringify({ ...EVENT, data: 'x'.repeat(1_100_000) });
    expect((await send({ ...ACME, ...only(signed(NEW, large)) }, large)).status).toBe(413);
  });

  test('the keys of others stay good, and their bodies are read as ever', async () => {
    const { send, received } = await open();
    expect((await send({ 'x-api-key': 'key-1' })).status).toBe(202);
    expect(received[0]?.caller.tenantId).toBe('default');
  });
});

test('our own signatures are those that we accept', () => {
  const headers = webhookHeaders([OLD], 'id', NOW, BODY);
  const mac = createHmac('sha256', Buffer.from(OLD.slice('whsec_'.length), 'base64'));
  const expected = mac.update(`id.${headers['webhook-timestamp']}.${BODY}`).digest('base64');
  expect(headers['webhook-signature']).toBe(`v1,${expected}`);
});
