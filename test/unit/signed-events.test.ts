import { createHmac } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { webhookHeaders } from '../../src/engine/sign-webhook.ts';
import type { Caller } from '../../src/engine/use-cases.ts';
import { verifyWebhook } from '../../src/engine/verify-webhook.ts';
import { type Door, NOW, openDoor } from '../support/http-app.ts';

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

  test('is known by the example of the standard', () => {
    const verdict = verifyWebhook(
      new Map([['acme', ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']]]),
      {
        id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        timestamp: '1614265330',
        signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
        body: Buffer.from('{"test": 2432232314}'),
      },
      new Date(1_614_265_330_000),
    );
    expect(verdict).toEqual({ by: 'acme' });
  });

  test.each([
    ['the newer secret', signed(NEW), { by: 'acme' }],
    ['the older one', signed(OLD), { by: 'acme' }],
    ['that of another tenant', signed(OTHER), { by: 'other' }],
    [
      'both, as while it is changed',
      webhookHeaders(['nobody knows this secret', OLD], 'msg_1', NOW, BODY),
      { by: 'acme' },
    ],
    ['one that nobody has', signed('nobody knows this secret'), { refused: 'wrong_signature' }],
    ['300 s ago', signed(NEW, seconds(-300)), { by: 'acme' }],
    ['301 s ago', signed(NEW, seconds(-301)), { refused: 'too_old' }],
    ['300 s ahead', signed(NEW, seconds(300)), { by: 'acme' }],
    ['301 s ahead', signed(NEW, seconds(301)), { refused: 'too_new' }],
    ['another id', { ...signed(NEW), 'webhook-id': 'msg_2' }, { refused: 'wrong_signature' }],
    [
      'another time',
      { ...signed(NEW), 'webhook-timestamp': String(NOW.getTime() / 1_000 + 1) },
      { refused: 'wrong_signature' },
    ],
    [
      'another version',
      { ...signed(NEW), 'webhook-signature': (signed(NEW)['webhook-signature'] ?? '').replace('v1,', 'v1a,') },
      { refused: 'wrong_signature' },
    ],
    ['nothing', { ...signed(NEW), 'webhook-signature': '' }, { refused: 'wrong_signature' }],
    [
      'half of it',
      { ...signed(NEW), 'webhook-signature': (signed(NEW)['webhook-signature'] ?? '').slice(0, 30) },
      { refused: 'wrong_signature' },
    ],
    ['a time that is none', { ...signed(NEW), 'webhook-timestamp': 'now' }, { refused: 'incomplete' }],
    ['a dot in the id', { ...signed(NEW), 'webhook-id': 'msg_1.1' }, { refused: 'incomplete' }],
  ])('with %s: %j is %j', (_what, headers, verdict) => {
    expect(verifyWebhook(SECRETS, message(headers), NOW)).toEqual(verdict);
  });

  test('is of the bytes, not of what they mean', () => {
    expect(verifyWebhook(SECRETS, message(signed(NEW), `${BODY} `), NOW)).toEqual({ refused: 'wrong_signature' });
    expect(verifyWebhook(SECRETS, { ...message(signed(NEW)), id: undefined }, NOW)).toEqual({ refused: 'incomplete' });
  });
});

describe('POST /events', () => {
  const doors: Door[] = [];
  afterEach(async () => {
    await Promise.all(doors.splice(0).map((door) => door.close()));
  });

  async function open(apiKeys = ['key-1']) {
    const received: Array<{ caller: Caller; ids: string[] }> = [];
    const door = await openDoor(
      { apiKeys, inboundWebhookSecrets: SECRETS },
      {
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
    return { door, send, received };
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

  test('takes what is signed for the tenant whose secret it is, whatever else the request says', async () => {
    const { send, received } = await open();
    const answer = await send({ ...only(signed()), 'x-tenant-id': 'other', 'x-user-id': 'root' });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toMatchObject({ accepted: 1 });
    expect((await send(only(signed(OTHER)), BODY, '/events/')).status).toBe(202);
    expect(received).toMatchObject([
      { caller: { tenantId: 'acme', userId: 'webhook' }, ids: ['e-1'] },
      { caller: { tenantId: 'other', userId: 'webhook' }, ids: ['e-1'] },
    ]);
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
    expect((await send(headers, body)).status).toBe(status);
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
    expect((await send(only(signed(NEW, large)), large)).status).toBe(413);
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
