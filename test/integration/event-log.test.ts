/** The log of events through the doors: history, replay to every kind of target, a clean page; and the stream beside it. */
import { describe, expect } from 'vitest';
import { type LoggedEventView, loggedEvent } from '../../src/features/events/event-log-schemas.ts';
import { createPlatformEvents } from '../../src/features/events/event-log-store.ts';
import { type Answer, accepted, type Client, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

const [onRedis] = onBothBackends({ environment: { EVENTS_STREAM: 'told', WEBHOOK_SECRET: 'a secret of the service' } });
if (onRedis === undefined) throw new Error('there is no Redis');
const { test } = onRedis;

interface History {
  events: LoggedEventView[];
  count: number;
  total: number;
  next_cursor: string | null;
}
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name });
const historyOf = (answer: Answer) => accepted(answer, 200).body as History; // As the document says.
const history = async (api: Client, query = '') => historyOf(await api.get(`/infrastructure/events/history${query}`));
const replay = async (api: Client, body?: object) =>
  accepted(await api.post('/infrastructure/events/replay', body), 200).body as {
    replayed_events: string[];
    count: number;
    target: object;
    execution_id: string;
  };
const clear = async (api: Client, body?: object) =>
  accepted(await api.post('/infrastructure/events/clear', body), 200).body;
const types = ({ events }: { events: LoggedEventView[] }) => events.map(({ event_type: type }) => type);

describe('the log of events', () => {
  test('has every event of every run, newest first, by each filter and page by page, and nothing of another tenant', async ({
    api: any,
    db,
  }) => {
    const api = tenant(any, 'reads');
    const of = await api.createWorkflow(workflow([echo('a'), failing('b', ['a'])]));
    const first = await api.execute(of, { correlation_id: 'order-1' });
    await api.ended(first);
    const second = await api.execute(of, { correlation_id: 'order-2' });
    const { trace_id: traceId } = await api.finished(second);
    await createPlatformEvents(db)({ tenantId: 'reads', kind: 'registry.changed', data: { name: 'shop' } });

    const all = await history(api);
    for (const event of all.events) loggedEvent.parse(event);
    expect(types(all)[0]).toBe('registry.changed');
    expect(all.events[0]).toMatchObject({ execution_id: null, correlation_id: null, data: { name: 'shop' } });
    expect(all).toMatchObject({ count: all.events.length, total: all.events.length, next_cursor: null });
    const ids = all.events.map(({ event_id: id }) => Number(id));
    expect(ids).toEqual([...ids].sort((a, b) => b - a));

    const one = await history(api, `?execution_id=${second}&event_type=task.failed`);
    expect(one).toEqual({
      events: [
        {
          event_id: expect.stringMatching(/^\d+$/),
          event_type: 'task.failed',
          correlation_id: 'order-2',
          timestamp: expect.stringMatching(/Z$/),
          trace_id: traceId,
          execution_id: second,
          data: {
            execution_id: second,
            workflow_id: of,
            action_id: 'b',
            epoch: 1,
            attempt: 1,
            details: one.events[0]?.data['details'] ?? null,
          },
        },
      ],
      count: 1,
      total: 1,
      next_cursor: null,
    });
    expect(new Set((await history(api, '?correlation_id=order-1')).events.map((event) => event.execution_id))).toEqual(
      new Set([first]),
    );
    expect(await history(api, '?from=2000-01-01&to=2001-01-01')).toMatchObject({ events: [], count: 0, total: 0 });
    const paged: LoggedEventView[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: History = await history(api, `?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      expect(page.total).toBe(all.total);
      paged.push(...page.events);
      cursor = page.next_cursor;
    }
    expect(paged).toEqual(all.events);
    expect(await history(tenant(any, 'other'))).toEqual({ events: [], count: 0, total: 0, next_cursor: null });
    expect(await history(tenant(any, 'other'), `?execution_id=${second}`)).toMatchObject({ events: [] });
    for (const query of ['limit=0', 'limit=10001', `correlation_id=${'x'.repeat(256)}`, 'cursor=nonsense']) {
      expectProblem(await api.get(`/infrastructure/events/history?${query}`), 400, 'invalid_request');
    }
  });

  test('begins a clean page: nothing is lost for executions, what comes after is there, and filters clear a part', async ({
    api: any,
    db,
  }) => {
    const api = tenant(any, 'clears');
    await createPlatformEvents(db)({ tenantId: 'keeps', kind: 'registry.changed', data: {} });
    const of = await api.createWorkflow(workflow([echo('a')]));
    const [first, second] = [
      await api.execute(of, { correlation_id: 'one' }),
      await api.execute(of, { correlation_id: 'two' }),
    ];
    for (const run of [first, second]) await api.ended(run);
    const before = await history(api);
    const ofOne = before.events.filter(({ correlation_id: id }) => id === 'one');
    expect(await clear(api, { correlation_id: 'one', event_types: ['task.completed'] })).toEqual({
      status: 'cleared',
      cleared_count: ofOne.filter(({ event_type: type }) => type === 'task.completed').length,
    });
    const partly = await history(api);
    expect(types(partly)[0]).toBe('events.cleared');
    expect(partly.events.filter(({ correlation_id: id }) => id === 'one')).toEqual(
      ofOne.filter(({ event_type: type }) => type !== 'task.completed'),
    );
    expect(partly.events.filter(({ correlation_id: id }) => id === 'two')).toEqual(
      before.events.filter(({ correlation_id: id }) => id === 'two'),
    );

    const rows = await db.query('SELECT count(*)::int AS n FROM event WHERE run_id = ANY ($1)', [[first, second]]);
    expect(await clear(api)).toEqual({ status: 'cleared', cleared_count: partly.total });
    const after = await history(api);
    expect(after.events).toMatchObject([
      {
        event_type: 'events.cleared',
        data: { by: 'anonymous', cleared_count: partly.total, event_types: [], correlation_id: null },
      },
    ]);
    expect(await db.query('SELECT count(*)::int AS n FROM event WHERE run_id = ANY ($1)', [[first, second]])).toEqual(
      expect.objectContaining({ rows: rows.rows }),
    );
    const { body } = await api.get(`/workflows/executions/${first}/events`, { accept: 'application/json' });
    expect(body).toMatchObject({
      final: true,
      items: expect.arrayContaining([expect.objectContaining({ event: 'run.completed' })]),
    });
    const third = await api.execute(of, { correlation_id: 'one' });
    await api.ended(third);
    expect(new Set((await history(api, '?correlation_id=one')).events.map((event) => event.execution_id))).toEqual(
      new Set([third]),
    );
    expect((await replay(api, { correlation_id: 'two' })).count).toBe(0);
    expect(await history(tenant(any, 'keeps'))).toMatchObject({ total: 1 });
    expectProblem(await api.post('/infrastructure/events/clear', { everything: true }), 400, 'invalid_request');
  });

  test('tells a webhook, a workflow and the stream of events once more, by an execution of its own', async ({
    api: any,
    db,
    service,
    stack,
  }) => {
    const api = tenant(any, 'replays');
    const of = await api.createWorkflow(workflow([echo('a')]));
    const run = await api.execute(of, { correlation_id: 'again' });
    await api.ended(run);
    const events = (await history(api, '?correlation_id=again')).events.reverse();
    const ids = events.map(({ event_id: id }) => id);

    let refusals = 1;
    service.answer(() => {
      refusals -= 1;
      return { status: refusals >= 0 ? 503 : 200 };
    });
    const url = `${service.url}/again`;
    const told = await replay(api, { correlation_id: 'again', event_types: null, target: { webhook_url: url } });
    expect(told).toEqual({
      replayed_events: ids,
      count: ids.length,
      target: { webhook_url: url },
      execution_id: expect.any(String),
    });
    expect(await api.ended(told.execution_id)).toMatchObject({
      status: 'completed',
      attempts: 2,
      result: { replayed: ids.length },
    });
    const calls = service.calls.slice(1);
    expect(calls.map(({ headers }) => headers['webhook-id'])).toEqual(ids);
    expect(calls.map(({ body }) => body)).toEqual(
      events.map(({ event_type: type, timestamp, data }) => ({
        type,
        timestamp,
        data: { ...data, correlation_id: 'again' },
      })),
    );
    expect(calls.every(({ headers }) => String(headers['webhook-signature']).startsWith('v1,'))).toBe(true);

    const listener = await api.createWorkflow(workflow([echo('heard', [], { type: '{{params.event.event_type}}' })]));
    const started = await replay(api, { correlation_id: 'again', target: { workflow_id: listener } });
    await api.ended(started.execution_id);
    const { body } = await api.get(`/workflows/${listener}/executions`);
    expect(body).toMatchObject({ total: ids.length });

    const streamed = await replay(api, {
      correlation_id: 'again',
      target: { stream: 'told:again' },
      limit: ids.length,
    });
    await api.ended(streamed.execution_id);
    expect(streamed.replayed_events).toEqual(ids);
    const entries = (await stack.redis?.xrange('told:again', '-', '+')) ?? [];
    expect(entries.map(([, fields]) => fields[1])).toEqual(ids);

    const created = await api.post('/webhooks', { url: `${service.url}/mine`, events: ['run.*'] });
    expect(created.status).toBe(201);
    service.calls.length = 0;
    const owed = await replay(api, { execution_id: run, target: { webhooks: true } });
    await api.ended(owed.execution_id);
    await until(() => service.calls.some(({ path }) => path === '/mine'));
    expect(service.calls.map(({ body: called }) => called)).toContainEqual(
      expect.objectContaining({ type: 'run.completed', data: expect.objectContaining({ execution_id: run }) }),
    );
    await until(async () => (await db.query(`SELECT FROM webhook_delivery WHERE status = 'pending'`)).rowCount === 0);

    expect(await replay(api, { correlation_id: 'nothing' })).toEqual({
      replayed_events: [],
      count: 0,
      target: { stream: 'told' },
      execution_id: null,
    });
    const foreign = await api.post('/infrastructure/events/replay', { target: { stream: 'bull:runs:events' } });
    expectProblem(foreign, 400, 'invalid_request');
    expect(foreign.body).toMatchObject({ errors: [{ path: 'target.stream' }] });
    for (const body of [{ limit: 0 }, { limit: 10_001 }, { target: { webhook_url: 'file:///etc' } }, { all: true }]) {
      expectProblem(await api.post('/infrastructure/events/replay', body), 400, 'invalid_request');
    }
  });

  test('each event goes to the stream, those of one run in their order', async ({ api: any, stack }) => {
    const api = tenant(any, 'streams');
    const run = await api.execute(await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])])), {
      correlation_id: 'flow',
    });
    await api.ended(run);
    const logged = (await history(api, `?execution_id=${run}`)).events.reverse();
    const sent = async () => {
      const entries = (await stack.redis?.xrange('told', '-', '+')) ?? [];
      const events = entries.map(([, fields]) =>
        Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, n) => [fields[2 * n], fields[2 * n + 1]])),
      );
      return events.filter((event) => event['execution_id'] === run);
    };
    await until(async () => (await sent()).length === logged.length);
    expect(await sent()).toEqual(
      logged.map((event) => ({
        ...event,
        tenant_id: 'streams',
        data: expect.any(String),
      })),
    );
    expect((await sent()).map(({ data }) => JSON.parse(String(data)) as unknown)).toEqual(
      logged.map(({ data }) => data),
    );
  });
});
