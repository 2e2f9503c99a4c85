/** Events from outside: they start workflows and end waits, once, whatever the form they come in. */
import { describe, expect } from 'vitest';
import { type Answer, accepted, type Client, list, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

const [, onPostgres] = onBothBackends();
if (onPostgres === undefined) throw new Error('there is no second backend');
const { test } = onPostgres;

interface Received {
  accepted: number;
  repeated: number;
  started: Array<{ event_id: string; workflow_id: string; execution_id: string }>;
  signalled: object[];
  failed: object[];
  pending: string[];
}
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name });
const received = (answer: Answer) => accepted(answer, 202).body as Received; // As the document says.
const event = (id: string, more: object = {}) => ({
  specversion: '1.0',
  id,
  source: '/shop',
  type: 'order.paid',
  subject: 'order-17',
  data: { order_id: 17, amount: 120 },
  ...more,
});
const send = async (api: Client, body: object, type = 'application/cloudevents+json') =>
  received(await api.post('/events', body, { 'content-type': type }));
const runsOf = async (api: Client, id: string) => list(await api.get(`/workflows/${id}/executions`));
const NOTHING = { started: [], signalled: [], failed: [], pending: [] };
const TRIGGER = {
  event: 'order.*',
  source: '/shop',
  filter: 'event.data.amount > 100',
  parameters: { order: '{{event.data.order_id}}' },
  correlation_key: '{{event.subject}}',
};

describe('events from outside', () => {
  test('start the workflows whose triggers match, once each, with their parameters and correlation id', async ({
    api: any,
    db,
  }) => {
    const api = tenant(any, 'starts');
    const id = await api.createWorkflow(
      workflow([echo('a', [], { order: '{{params.order}}' })], { triggers: [TRIGGER] }),
    );
    const broken = await api.createWorkflow(
      workflow([echo('a')], { triggers: [{ event: 'order.paid', filter: 'event.data.missing > 1' }] }),
    );
    const first = await send(api, event('1'));
    expect(first).toEqual({
      accepted: 1,
      repeated: 0,
      started: [{ event_id: '1', workflow_id: id, execution_id: expect.any(String) }],
      signalled: [],
      failed: [{ event_id: '1', workflow_id: broken, code: 'expression_failed', detail: expect.any(String) }],
      pending: [],
    });
    expect(await api.finished(first.started[0]?.execution_id ?? '')).toMatchObject({
      status: 'completed',
      parameters: { order: 17 },
      correlation_id: 'order-17',
      tenant_id: 'starts',
      output: { a: { order: 17 } },
    });
    expect(await send(api, event('1'))).toEqual({ ...first, accepted: 0, repeated: 1 });
    expect(await runsOf(api, id)).toHaveLength(1);

    await api.send('DELETE', `/workflows/${broken}?force=true`);
    const others = [
      event('2', { data: { order_id: 1, amount: 50 } }),
      event('3', { source: '/elsewhere' }),
      event('4', { type: 'invoice.paid' }),
      event('5', { type: 'order.refunded' }),
      event('5', { type: 'order.refunded' }),
    ];
    const batch = await send(api, others, 'application/cloudevents-batch+json');
    expect(batch).toMatchObject({
      ...NOTHING,
      accepted: 4,
      repeated: 1,
      started: [{ event_id: '5', workflow_id: id }],
    });
    await api.ended(batch.started[0]?.execution_id ?? '');

    const binary = received(
      await api.post(
        '/events',
        { order_id: 18, amount: 200 },
        {
          ...{ 'ce-specversion': '1.0', 'ce-id': '6', 'ce-source': '/shop', 'ce-type': 'order.paid' },
        },
      ),
    );
    expect(binary).toMatchObject({ accepted: 1, started: [{ event_id: '6', workflow_id: id }] });
    expect(await api.finished(binary.started[0]?.execution_id ?? '')).toMatchObject({ parameters: { order: 18 } });

    const stranger = tenant(any, 'stranger');
    expect(await send(stranger, event('1'))).toEqual({ ...NOTHING, accepted: 1, repeated: 0 });
    const { body } = await api.get('/infrastructure/events/history?event_type=event.received&limit=1');
    expect(body).toMatchObject({
      total: 6,
      events: [{ data: { id: '6', source: '/shop', started: [{ workflow_id: id }] } }],
    });
    expect((await db.query('SELECT FROM incoming_event WHERE due_at IS NOT NULL')).rowCount).toBe(0);
    for (const bad of [{ ...event('7'), type: undefined }, [], event('', {})]) {
      expectProblem(await api.post('/events', bad), 400, 'invalid_request');
    }
    expect((await db.query(`SELECT FROM incoming_event WHERE tenant_id = 'starts'`)).rowCount).toBe(6);
  });

  test('start the current version of an active workflow only', async ({ api: any, db }) => {
    const api = tenant(any, 'versions');
    const startedBy = async (id: string) => (await send(api, event(id))).started.map(({ workflow_id }) => workflow_id);
    const id = await api.createWorkflow(workflow([echo('a')]));
    expect(await startedBy('1')).toEqual([]);
    expect((await api.put(`/workflows/${id}`, { triggers: [{ event: 'order.paid' }] })).status).toBe(200);
    expect((await api.get(`/workflows/${id}`)).body).toMatchObject({ triggers: [{ event: 'order.paid' }] });
    expect(await startedBy('2')).toEqual([id]);
    await api.put(`/workflows/${id}`, { status: 'paused' });
    expect(await startedBy('3')).toEqual([]);
    await api.put(`/workflows/${id}`, { status: 'active' });
    expect(await startedBy('4')).toEqual([id]);
    await api.put(`/workflows/${id}`, { triggers: [{ event: 'order.sent' }, { event: 'order.lost' }] });
    expect(await startedBy('5')).toEqual([]);
    await api.put(`/workflows/${id}`, { triggers: null });
    for (const run of await runsOf(api, id)) await api.ended(String(run['execution_id']));
    expect((await db.query('SELECT FROM workflow_trigger WHERE workflow_id = $1', [id])).rowCount).toBe(0);
    const bad = await api.post('/workflows', workflow([echo('a')], { triggers: [{ event: 'a', filter: 'event.' }] }));
    expectProblem(bad, 422, 'definition_invalid');
    expect(bad.body).toMatchObject({ errors: [{ path: 'triggers.0.filter' }] });
  });

  test('end the wait of the execution that they are for, also when they come before it', async ({ api: any, db }) => {
    const api = tenant(any, 'waits');
    const paid = {
      action_id: 'paid',
      action_type: 'signal',
      config: {
        name: 'paid',
        event: 'order.paid',
        correlation_key: '{{params.order}}',
        schema: { type: 'object', required: ['amount'] },
      },
    };
    const id = await api.createWorkflow(workflow([paid]));
    const late = await api.createWorkflow(
      workflow([
        { action_id: 'w', action_type: 'signal', config: { name: 'go' } },
        { ...paid, depends_on: ['w'] },
      ]),
    );
    const [one, two, three] = [
      await api.execute(id, { parameters: { order: 'order-1' } }),
      await api.execute(id, { parameters: { order: 'order-2' } }),
      await api.execute(late, { parameters: { order: 'order-3' } }),
    ];
    await until(async () => (await db.query('SELECT FROM event_wait')).rowCount === 2);
    const at = (order: string, name: string, more: object = {}) =>
      event(name, { subject: order, data: { amount: name }, ...more });
    expect(await send(api, at('order-1', 'x', { type: 'order.sent' }))).toMatchObject({ signalled: [] });
    expect(await send(api, at('order-1', 'y', { data: 'does not fit' }))).toMatchObject({ signalled: [] });
    expect(await send(tenant(any, 'stranger'), at('order-1', 'z'))).toMatchObject({ signalled: [] });
    expect(await send(api, at('order-2', 'two'))).toEqual({
      ...NOTHING,
      accepted: 1,
      repeated: 0,
      signalled: [{ event_id: 'two', execution_id: two, name: 'paid' }],
    });
    expect(await api.finished(two)).toMatchObject({ status: 'completed', output: { paid: { amount: 'two' } } });
    expect(await send(api, at('order-3', 'three'))).toMatchObject({ signalled: [] });
    expect((await api.post(`/workflows/executions/${three}/signals/go`, { payload: null })).status).toBe(202);
    expect(await api.finished(three)).toMatchObject({ status: 'completed', output: { paid: { amount: 'three' } } });
    await send(api, at('order-1', 'one'));
    expect(await api.finished(one)).toMatchObject({ status: 'completed', output: { paid: { amount: 'one' } } });
  });

  test('a filter that takes too long keeps no other trigger, wait or event back, and is tried again alone', async ({
    api: any,
    db,
  }) => {
    const api = tenant(any, 'slow');
    const many = 'event.data.many';
    const endless = `${many}.all(a, ${many}.all(b, ${many}.all(c, a + b + c >= 0)))`;
    // The first of them all, by its id.
    const slow = await api.createWorkflow(
      workflow([echo('a')], { triggers: [{ event: 'order.paid', filter: `has(${many}) && ${endless}` }] }),
    );
    const quick = await api.createWorkflow(workflow([echo('a')], { triggers: [{ event: 'order.paid' }] }));
    const paid = { name: 'paid', event: 'order.paid', correlation_key: 'order-17' };
    const waiting = await api.createWorkflow(
      workflow([{ action_id: 'paid', action_type: 'signal', config: paid }], { name: 'waits for it' }),
    );
    const run = await api.execute(waiting);
    await until(async () => (await db.query('SELECT FROM event_wait WHERE run_id = $1', [run])).rowCount === 1);
    const numbers = Array.from({ length: 400 }, (_, n) => n);
    const first = await send(api, event('1', { data: { many: numbers } }));
    expect(first).toMatchObject({
      started: [{ event_id: '1', workflow_id: quick }],
      signalled: [{ event_id: '1', execution_id: run, name: 'paid' }],
      failed: [],
      pending: ['1'],
    });
    await api.finished(first.started[0]?.execution_id ?? '');
    expect(await api.finished(run)).toMatchObject({ status: 'completed' });
    const progress = async () => {
      const { rows } = await db.query<{ tries: number; open: Array<{ id: string; tries: number }> }>(
        `SELECT tries, progress -> 'open' AS open FROM incoming_event WHERE tenant_id = 'slow' AND id = '1'`,
      );
      return rows[0] ?? { tries: 0, open: [] };
    };
    expect((await progress()).open).toEqual([{ id: `trigger ${slow} 0`, tries: 1 }]);
    // It is tried again, and nothing else with it.
    await db.query(
      `UPDATE incoming_event SET due_at = now() - interval '1 second' WHERE id = '1' AND tenant_id = 'slow'`,
    );
    await until(async () => (await progress()).open[0]?.tries === 2);
    expect(await runsOf(api, quick)).toHaveLength(1);
    // What is not slow is not kept back by the one that is.
    expect(await send(tenant(any, 'another'), event('1'))).toMatchObject({ pending: [] });
    const second = await send(api, event('2'));
    expect(second).toMatchObject({ started: [{ event_id: '2', workflow_id: quick }], pending: [] });
    await api.finished(second.started[0]?.execution_id ?? '');
    // Given up at the end, it is so alone.
    await db.query(
      `UPDATE incoming_event SET due_at = now() - interval '1 second', progress = jsonb_set(progress, '{open,0,tries}', '79') WHERE id = '1' AND tenant_id = 'slow'`,
    );
    await until(async () => {
      const again = await send(api, event('1', { data: { many: numbers } }));
      return again.pending.length === 0 ? again : undefined;
    });
    expect(await send(api, event('1', { data: { many: numbers } }))).toEqual({
      ...first,
      ...{ accepted: 0, repeated: 1, pending: [] },
      failed: [{ event_id: '1', workflow_id: slow, code: 'internal', detail: expect.stringContaining('given up') }],
    });
  });
});
