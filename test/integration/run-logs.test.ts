/** What adapters log is kept for the run: in order, within bounds, without secrets, and only as long as the run. */
import { randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import { createTaskLogStore, MAX_LINES } from '../../src/features/run-logs/store.ts';
import { REMOVE_BY_SETTING } from '../../src/store/recover/retention.ts';
import { accepted, type Client, list, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

const SECRET = 'a-secret-that-is-logged-0042';
// The queue does not matter here.
const ONE = onBothBackends({ environment: { SECRETS_KEY: randomBytes(32).toString('base64') } }).slice(0, 1);
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name });
const says = (id: string, log: object[], more: object = {}, type = 'test_fault') => ({
  action_id: id,
  action_type: type,
  config: { log },
  depends_on: [],
  ...more,
});
const logs = async (api: Client, run: string, query = '') =>
  accepted(await api.get(`/workflows/executions/${run}/logs${query}`), 200);
const logged = (api: Client, run: string, count: number, query = '') =>
  until(async () => list(await logs(api, run, query)).length >= count);

describe.each(ONE)('logs of executions', ({ test }) => {
  test('have what every attempt said, in order, masked, with the ids in the log of the worker', async ({
    api: any,
    stack,
    db,
  }) => {
    const api = tenant(any, 'logging');
    expect((await api.put('/secrets/LOGGED', { value: SECRET })).status).toBeLessThan(300);
    const lines = [
      { level: 'debug', message: 'begin' },
      {
        level: 'info',
        message: 'sent {{secrets.LOGGED}} off',
        fields: { password: 'hunter22', of: '{{secrets.LOGGED}}' },
      },
      { level: 'warn', message: 'Authorization: Bearer abcdefghijklmnop' },
      { level: 'error', message: 'two\nlines' },
    ];
    const of = await api.createWorkflow(
      workflow(
        [
          says('first', lines),
          says('alone', lines.slice(0, 2), { depends_on: ['first'] }, 'test_fault_isolated'),
          {
            ...says('again', [{ level: 'info', message: 'try' }], { depends_on: ['alone'] }),
            retry: { max_attempts: 2, initial_delay_seconds: 0 },
          },
        ].map((action) =>
          action.action_id === 'again' ? { ...action, config: { ...action.config, fail: 'retryable' } } : action,
        ),
      ),
    );
    const run = await api.execute(of, {}, { 'x-correlation-id': 'corr-7' });
    expect(await api.finished(run)).toMatchObject({ status: 'failed' });
    // Every execution of this adapter says that it begins.
    await logged(api, run, 12);

    const { body } = await logs(api, run);
    expect(body).toMatchObject({ execution_id: run, next_cursor: null, dropped: 0 });
    const items = list({ body } as never);
    const said = (action: string) =>
      items
        .filter((item) => item['action_id'] === action)
        .map((item) => [item['attempt'], item['level'], item['message']]);
    expect(said('first')).toEqual([
      [1, 'info', 'test_fault_begins'],
      [1, 'debug', 'begin'],
      [1, 'info', 'sent *** off'],
      [1, 'warn', 'Authorization: Bearer ***'],
      [1, 'error', 'two\nlines'],
    ]);
    expect(said('alone')).toEqual([
      [1, 'info', 'test_fault_begins'],
      [1, 'debug', 'begin'],
      [1, 'info', 'sent *** off'],
    ]);
    expect(said('again')).toEqual(
      [1, 2].flatMap((n) => [
        [n, 'info', 'test_fault_begins'],
        [n, 'info', 'try'],
      ]),
    );
    expect(items.map((item) => item['action_id'])).toEqual(
      ['first', 'alone', 'again'].flatMap((id) => said(id).map(() => id)),
    );
    expect(items.find((item) => item['message'] === 'sent *** off')?.['fields']).toEqual({
      password: '***',
      of: '***',
    });
    const { rows } = await db.query(`SELECT string_agg(l::text, '') AS all FROM task_log l`);
    for (const hidden of [SECRET, 'hunter22', 'abcdefghijklmnop']) expect(rows[0].all).not.toContain(hidden);

    // The same in the log of the process, which everything else of that attempt is in too.
    const ofWorker = stack.log.lines.find(
      ({ event, fields }) => event === 'sent *** off' && JSON.stringify(fields).includes(run),
    );
    expect(ofWorker).toMatchObject({
      level: 'info',
      fields: {
        execution_id: run,
        run_id: run,
        action_id: 'first',
        span_id: expect.stringMatching(/^[0-9a-f]{16}$/),
        task_id: 'first',
        tenant_id: 'logging',
        attempt: 1,
        correlation_id: 'corr-7',
        trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      },
    });

    // Filters, pages, forms.
    const messages = async (query: string) => list(await logs(api, run, query)).map((item) => item['message']);
    expect(await messages('?level=warn')).toEqual(['Authorization: Bearer ***', 'two\nlines']);
    expect(await messages('?action_id=again&attempt=2')).toEqual(['test_fault_begins', 'try']);
    const paged: unknown[] = [];
    for (let query = '?limit=4'; ; ) {
      const page = await logs(api, run, query);
      paged.push(...list(page));
      const { next_cursor: next } = page.body as { next_cursor: string | null };
      if (next === null) break;
      query = `?limit=4&cursor=${next}`;
    }
    expect(paged).toEqual(items);
    const withEvents = list(await logs(api, run, '?include=events'));
    expect(withEvents.filter((item) => item['level'] !== null)).toEqual(items);
    expect(withEvents.filter((item) => item['level'] === null).map((item) => item['message'])).toEqual(
      expect.arrayContaining(['task.completed', 'task.retrying', 'task.failed', 'run.failed']),
    );
    const at = withEvents.map((item) => String(item['timestamp']));
    expect(at).toEqual([...at].sort());
    const text = await api.get(`/executions/${run}/logs?action_id=first&level=error`, { accept: 'text/plain' });
    expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(text.text).toMatch(/^\S+Z ERROR \[first#1\] two ⏎ lines\n$/);
    const ndjson = await fetch(`${api.url}/executions/${run}/logs?limit=2`, {
      headers: { accept: 'application/x-ndjson', 'x-tenant-id': 'logging' },
    });
    const lineByLine = (await ndjson.text()).trimEnd().split('\n');
    expect(lineByLine.map((one) => JSON.parse(one))).toEqual(items.slice(0, 2));
    expect(ndjson.headers.get('x-next-cursor')).toEqual(expect.any(String));

    expectProblem(await tenant(any, 'stranger').get(`/executions/${run}/logs`), 404, 'not_found');
    expectProblem(await api.get(`/executions/${run}/logs?level=loud`), 400, 'invalid_request');
    expectProblem(await api.get(`/executions/${run}/logs?cursor=x`), 400, 'invalid_request');
  });

  test('are bounded for each attempt and each execution, count what they leave out, and go with the run', async ({
    api: any,
    db,
  }) => {
    const api = tenant(any, 'bounded');
    const much = [
      { level: 'info', message: 'x'.repeat(10_000), fields: { text: 'y'.repeat(20_000) } },
      { level: 'info', message: 'more', times: 1_500 },
    ];
    const run = await api.execute(await api.createWorkflow(workflow([says('much', much), echo('quiet')])));
    await api.finished(run);
    await until(async () => Number(((await logs(api, run, '?limit=1')).body as { dropped: number }).dropped) > 0);
    const { rows } = await db.query<{ lines: number; longest: number; fields: string }>(
      `SELECT count(*)::int AS lines, max(length(message))::int AS longest, (array_agg(fields::text) FILTER (WHERE length(message) > 100))[1] AS fields
       FROM task_log WHERE run_id = $1`,
      [run],
    );
    expect(rows).toEqual([{ lines: 1_001, longest: 4_000, fields: expect.stringMatching(/not_kept.*8192 bytes/) }]);
    const last = list(await logs(api, run, '?level=warn'));
    expect(last).toMatchObject([
      { message: '502 more lines were not kept: an attempt may log 1000', action_id: 'much' },
    ]);
    expect((await logs(api, run)).body).toMatchObject({ dropped: 502 });

    // Many attempts together have a bound of their own.
    const full = await api.execute(await api.createWorkflow(workflow([echo('quiet')])));
    await api.finished(full);
    const store = createTaskLogStore(db);
    const line = {
      runId: full,
      actionId: 'many',
      epoch: 1,
      attempt: 1,
      level: 'info',
      message: 'm',
      fields: null,
      tenantId: 'default',
    } as const;
    for (let batch = 0; batch < 22; batch += 1) {
      const lines = Array.from({ length: 500 }, (_, n) => ({ ...line, atMs: 1_000_000 + batch * 500 + n }));
      await store.write(lines, new Map([[full, 1]]));
    }
    const { rows: sizes } = await db.query(
      `SELECT (SELECT count(*)::int FROM task_log WHERE run_id = $1) AS kept, lines, dropped FROM run_log WHERE run_id = $1`,
      [full],
    );
    expect(sizes).toEqual([{ kept: MAX_LINES + 1, lines: MAX_LINES, dropped: 22 + 1_000 }]);
    expect(list(await logs(api, full, '?level=warn'))).toMatchObject([
      { message: expect.stringContaining('what this execution logs from here is not kept') },
    ]);
    await store.write([{ ...line, runId: 'nobody', atMs: 1 }], new Map([['nobody', 1]]));

    await db.query(`UPDATE run SET finished_at = now() - interval '10 days' WHERE id = ANY ($1)`, [[run, full]]);
    await db.query(REMOVE_BY_SETTING, [100, 5_000, 5]);
    for (const table of ['task_log', 'run_log']) {
      const left = await db.query(`SELECT FROM ${table} WHERE run_id = ANY ($1)`, [[run, full, 'nobody']]);
      expect(left.rowCount, table).toBe(0);
    }
    expectProblem(await api.get(`/executions/${run}/logs`), 404, 'not_found');
  });
});
