/** The events of executions through the door, live. */
import { describe, expect } from 'vitest';
import { accepted, type Client, list } from '../harness/client/client.ts';
import type { Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { type EventStream, openEvents } from '../support/event-stream.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, failing, type TestAction, workflow } from '../support/test-task.ts';

const eventsPath = (run: string) => `/workflows/executions/${run}/events`;
const JSON_ONLY = { accept: 'application/json' };

/** An action that ends when the service lets it. */
function held(service: Service, id: string, dependsOn: readonly string[] = []): TestAction {
  const config = { url: `${service.url}/${id}` };
  return { action_id: id, action_type: 'http_request', config, depends_on: [...dependsOn] };
}

/** Answers a call only once its path was let go. */
function gate(service: Service): { open(id: string): void } {
  const open = new Map<string, () => void>();
  const passed = new Set<string>();
  service.answer(async ({ path }) => {
    const id = path.slice(1);
    if (!passed.has(id)) await new Promise<void>((resolve) => open.set(id, resolve));
    return { body: { id } };
  });
  return {
    open(id) {
      passed.add(id);
      open.get(id)?.();
    },
  };
}

/** The events of a run as the table has them, in the order of their rows. */
async function rows(db: Stack['db'], run: string): Promise<string[]> {
  const found = await db.query<{ kind: string; action_id: string | null }>(
    'SELECT kind, action_id FROM event WHERE run_id = $1 ORDER BY id',
    [run],
  );
  return found.rows.map(({ kind, action_id }) => (action_id === null ? kind : `${kind} ${action_id}`));
}

const upTo = (last: number) => Array.from({ length: last + 1 }, (_, id) => id);
const follow = (url: string, run: string, headers: Record<string, string> = {}): Promise<EventStream> =>
  openEvents(`${url}${eventsPath(run)}`, headers);
const begin = async (api: Client, actions: readonly TestAction[]) =>
  api.execute(await api.createWorkflow(workflow(actions)));

describe.each(onBothBackends({ workers: 2 }))('events of a run on $backend', ({ test }) => {
  test('come while it runs, each once, and the stream ends with the run', async ({ api, service, db }) => {
    const gates = gate(service);
    const run = await begin(api, [held(service, 'a'), held(service, 'b', ['a']), echo('c', ['b'])]);
    const stream = await follow(api.url, run);
    await until(() => stream.told().includes('run.started'));
    expect(stream.told()).toEqual(['run.started']);
    gates.open('a');
    await until(() => stream.told().includes('task.completed a'));
    expect(stream.ended()).toBe(false);
    gates.open('b');
    await stream.end();
    expect(stream.told()).toEqual([
      'run.started',
      'task.completed a',
      'task.completed b',
      'task.completed c',
      'run.completed',
    ]);
    expect(stream.ids()).toEqual(upTo(4));
    expect(await rows(db, run)).toEqual(stream.told().slice(1));
    expect(stream.events[1]?.data).toMatchObject({ execution_id: run, action_id: 'a', epoch: 1, attempt: 1 });
    expect((await api.get(eventsPath(run), { 'last-event-id': '4' })).status).toBe(204);
  });

  test('go on over a restart of the API where the reader was', async ({ api, stack, service }) => {
    const gates = gate(service);
    const run = await begin(api, [held(service, 'a'), held(service, 'b', ['a']), held(service, 'c', ['b'])]);
    const second = await stack.add('api');
    const first = await follow(`http://127.0.0.1:${second.port}`, run);
    const whole = await follow(api.url, run);
    gates.open('a');
    await until(() => first.told().includes('task.completed a'));
    await second.stop();
    await first.end();
    gates.open('b');
    await until(() => whole.told().includes('task.completed b'));
    const third = await stack.add('api');
    const back = await follow(`http://127.0.0.1:${third.port}`, run, { 'last-event-id': String(first.ids().at(-1)) });
    gates.open('c');
    await Promise.all([back.end(), whole.end()]);
    await third.stop();
    expect([...first.told(), ...back.told()]).toEqual(whole.told());
    expect([...first.ids(), ...back.ids()]).toEqual(upTo(4));
  });

  test('of a single task are followed by its id', async ({ api }) => {
    const task = await api.assign({ task_type: 'test_task', params: { fail_with: 'no' }, max_attempts: 1 });
    const stream = await follow(api.url, task);
    await stream.end();
    expect(stream.events.map(({ event }) => event)).toEqual(['run.started', 'task.failed', 'run.failed']);
  });

  test('of a wide graph are in one order for all readers', async ({ api, db }) => {
    const wide = Array.from({ length: 60 }, (_, index) => echo(`w${index}`, ['a']));
    const run = await begin(api, [
      echo('a'),
      ...wide,
      echo(
        'z',
        wide.map(({ action_id }) => action_id),
      ),
    ]);
    const streams = await Promise.all([1, 2, 3].map(() => follow(api.url, run)));
    await Promise.all(streams.map((stream) => stream.end()));
    const late = await follow(api.url, run);
    await late.end();
    expect(late.ids()).toEqual(upTo(63));
    expect([...late.told().slice(1)].sort()).toEqual((await rows(db, run)).sort());
    for (const stream of streams) {
      expect(stream.told()[0]).toBe('run.started');
      // The time of that one is the run's, which is marked lazily.
      expect(stream.events.slice(1)).toEqual(late.events.slice(1));
    }
  });

  test('go on after a retry: the first stream has ended with the first end', async ({ api }) => {
    const run = await begin(api, [echo('a'), failing('b', ['a'])]);
    const first = await follow(api.url, run);
    await first.end();
    expect(first.told()).toEqual(['run.started', 'task.completed a', 'task.failed b', 'run.failed']);
    accepted(await api.post(`/workflows/executions/${run}/retry`), 202);
    const second = await follow(api.url, run, { 'last-event-id': '3' });
    await second.end();
    expect(second.told()).toEqual(['run.retried', 'task.retried b', 'task.failed b', 'run.failed']);
    expect(second.events.map(({ data }) => data['epoch'])).toEqual([2, 2, 2, 2]);
    const all = await follow(api.url, run);
    await all.end();
    expect(all.events.slice(1)).toEqual([...first.events, ...second.events].slice(1));
  });

  test('of a run that is cancelled before it begins say so', async ({ api }) => {
    const id = await api.createWorkflow(workflow([echo('a')]));
    const run = await api.execute(id, { delay_seconds: 600 });
    const stream = await follow(api.url, run);
    expect((await api.get(eventsPath(run), JSON_ONLY)).body).toMatchObject({
      items: [],
      total: 0,
      next_cursor: null,
      last_event_id: null,
      final: false,
    });
    accepted(await api.post(`/workflows/executions/${run}/cancel`, { reason: 'no longer needed' }), 202);
    await stream.end();
    expect(stream.events.map(({ event }) => event)).toContain('run.cancelling');
    expect(stream.events.at(-1)?.event).toBe('run.cancelled');
    expect(stream.events.find(({ event }) => event === 'run.cancelling')?.data['details']).toEqual({
      by: 'anonymous',
      reason: 'no longer needed',
    });
  });

  test('come as JSON too, a page at a time', async ({ api }) => {
    const run = await begin(api, [echo('a'), echo('b', ['a']), echo('c', ['b'])]);
    const stream = await follow(api.url, run);
    await stream.end();
    const items: unknown[] = [];
    let pages = 0;
    for (let cursor = ''; ; ) {
      const page = accepted(await api.get(`${eventsPath(run)}?limit=2${cursor}`, JSON_ONLY), 200);
      pages += 1;
      items.push(...list(page));
      expect(page.body).toMatchObject({ page: pages, page_size: 2, total: 5 });
      const { next_cursor, final } = page.body as { next_cursor: string | null; final: boolean }; // A page.
      expect(final).toBe(next_cursor === null);
      if (next_cursor === null) break;
      cursor = `&cursor=${next_cursor}`;
    }
    expect(pages).toBe(3);
    expect(items.slice(1)).toEqual(stream.events.slice(1));
    expect(items[0]).toMatchObject({ id: 0, event: 'run.started' });
    const rest = accepted(await api.get(`${eventsPath(run)}?last_event_id=3`, JSON_ONLY), 200);
    expect(list(rest).map(({ event }) => event)).toEqual(['run.completed']);
    expect(rest.body).toMatchObject({ last_event_id: '4' });
  });

  test('of an unknown run, and of a run of another tenant, are not found', async ({ api }) => {
    const run = (await api.run(workflow([echo('a')]))).execution_id;
    const elsewhere = { 'x-tenant-id': 'another' };
    for (const headers of [{}, JSON_ONLY]) {
      expectProblem(await api.get(eventsPath('unknown'), headers), 404, 'not_found');
      expectProblem(await api.get(eventsPath(run), { ...headers, ...elsewhere }), 404, 'not_found');
      expectProblem(
        await api.get(eventsPath(run), { ...headers, ...elsewhere, 'last-event-id': '77' }),
        404,
        'not_found',
      );
    }
    expect((await api.get(eventsPath('unknown'))).body).toMatchObject({ detail: 'Execution not found' });
  });
});
