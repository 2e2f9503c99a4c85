/** Failures in groups: what fails is found by its kind, and all of one kind is retried at once. */
import pg from 'pg';
import { describe, expect, onTestFinished, test as storeTest } from 'vitest';
import { createFailureCounter } from '../../src/features/failures/count-failures.ts';
import { accepted, type Client, list, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { createTestDatabase } from '../support/servers.ts';
import { echo, QUICK_RETRY, workflow } from '../support/test-task.ts';

// The queue does not matter here.
const ONE = onBothBackends().slice(0, 1);
const tenant = (api: Client, name: string) => openClient(api.url, { 'x-tenant-id': name, 'x-user-id': 'olga' });
const groups = async (api: Client, query = '') => list(accepted(await api.get(`/errors${query}`), 200));
const group = async (api: Client, fingerprint: unknown) =>
  accepted(await api.get(`/errors/${fingerprint}`), 200).body as Record<string, unknown>;
const counted = (api: Client, count: number) =>
  until(async () => (await groups(api)).reduce((sum, one) => sum + Number(one['count']), 0) >= count);

describe.each(ONE)('failures in groups', ({ test }) => {
  test('of one kind are one group, which is retried at once, resolved, and open again when it comes back', async ({
    api: any,
    service,
    db,
  }) => {
    const api = tenant(any, 'grouped');
    let broken = true;
    service.answer(({ path }) =>
      broken ? { status: 422, body: `order ${path.slice(1)} is unknown, see "${path}"` } : { body: { ok: true } },
    );
    const order = (id: string, more: object = {}) => ({
      action_id: id,
      action_type: 'http_request',
      config: { url: `${service.url}/{{order}}` },
      ...more,
    });
    const of = await api.createWorkflow(
      workflow([echo('first'), order('fetch', { depends_on: ['first'] })], {
        parameters: [{ name: 'order', type: 'string', required: true }],
      }),
    );
    const runs = await Promise.all(['17', '4711', '9'].map((n) => api.execute(of, { parameters: { order: n } })));
    for (const run of runs) expect(await api.finished(run)).toMatchObject({ status: 'failed' });
    // Another kind, each attempt of which counts.
    const other = await api.run(workflow([echo('loud', [], { fail_with: 'no 12 of them' }, { retry: QUICK_RETRY })]));
    await counted(api, 5);

    const found = await groups(api, '?sort=count');
    expect(found).toMatchObject([
      {
        action_type: 'http_request',
        action_id: 'fetch',
        workflow_id: of,
        code: 'upstream_rejected',
        state: 'open',
        count: 3,
        failed_tasks: 3,
        executions: 3,
        regressions: 0,
        execution_id: expect.toBeOneOf(runs),
      },
      {
        action_id: 'loud',
        template: 'no <n> of them',
        message: 'no 12 of them',
        count: 2,
        failed_tasks: 1,
        executions: 1,
      },
    ]);
    const [kind, loud] = found.map((one) => String(one['fingerprint']));
    expect(found[0]?.['template']).toMatch(/answered 422: order <n> is unknown, see '\*'$/);
    expect(found[0]?.['message']).toMatch(/order \d+ is unknown/);
    expect(await groups(api, `?workflow_id=${of}&action_type=http_request&state=open`)).toHaveLength(1);
    expect(await groups(api, '?state=resolved')).toEqual([]);
    expect(await groups(api, '?to=2020-01-01T00:00:00Z')).toEqual([]);
    const first = accepted(await api.get('/errors?sort=count&limit=1'), 200).body as { next_cursor: string };
    expect(first).toMatchObject({ total: 2, items: [{ fingerprint: kind }] });
    const second = await api.get(`/errors?sort=count&limit=1&cursor=${first.next_cursor}`);
    expect(second.body).toMatchObject({ items: [{ fingerprint: loud }], next_cursor: null, page: 2 });
    const details = await group(api, kind);
    expect(details).toMatchObject({ waiting: 3 });
    expect(
      list({ body: details } as never, 'recent_executions')
        .map((one) => one['execution_id'])
        .sort(),
    ).toEqual([...runs].sort());
    const hours = list({ body: details } as never, 'hours');
    expect([hours.length, hours.reduce((sum, one) => sum + Number(one['count']), 0)]).toEqual([24, 3]);

    // Another tenant has none of it.
    const stranger = tenant(any, 'stranger');
    expect(await groups(stranger)).toEqual([]);
    expectProblem(await stranger.get(`/errors/${kind}`), 404, 'not_found');
    for (const verb of ['retry', 'resolve', 'ignore']) {
      expectProblem(await stranger.post(`/errors/${kind}/${verb}`, {}), 404, 'not_found');
    }
    expectProblem(await api.post(`/errors/${kind}/retry`, { limit: 0 }), 400, 'invalid_request');
    expectProblem(await api.get('/errors?cursor=nonsense'), 400, 'invalid_request');

    const dry = accepted(await api.post(`/errors/${kind}/retry`, { dry_run: true }), 200).body;
    expect(dry).toEqual({ dry_run: true, matched: 3, executions: 3 });
    for (const run of runs) expect(await api.execution(run)).toMatchObject({ status: 'failed' });

    expect(accepted(await api.post(`/errors/${kind}/resolve`), 200).body).toMatchObject({
      state: 'resolved',
      state_by: 'olga',
    });
    // Not mended after all.
    expect(accepted(await api.post(`/errors/${kind}/retry`, { limit: 1 }), 202).body).toEqual({
      dry_run: false,
      matched: 3,
      executions: 1,
    });
    await until(async () => (await group(api, kind))['state'] === 'open');
    expect(await group(api, kind)).toMatchObject({
      regressions: 1,
      state_by: null,
      count: 4,
      executions: 3,
      waiting: 3,
    });
    const told = await db.query(
      `SELECT data FROM platform_event WHERE tenant_id = 'grouped' AND kind = 'error.regressed'`,
    );
    expect(told.rows).toEqual([{ data: { fingerprint: kind } }]);

    broken = false;
    expect(accepted(await api.post(`/errors/${kind}/retry`), 202).body).toEqual({
      dry_run: false,
      matched: 3,
      executions: 3,
    });
    for (const run of runs) {
      await until(async () => (await api.execution(run)).status === 'completed');
    }
    expect(await group(api, kind)).toMatchObject({ waiting: 0, count: 4 });
    expect(await api.execution(other.execution_id)).toMatchObject({ status: 'failed' });
    expect(accepted(await api.post(`/errors/${kind}/retry`), 202).body).toMatchObject({ matched: 0, executions: 0 });
    expect(accepted(await api.post(`/errors/${loud}/ignore`), 200).body).toMatchObject({ state: 'ignored' });

    // Every failed attempt was counted, once.
    const { rows } = await db.query(
      `SELECT (SELECT count(*)::int FROM attempt a JOIN run r ON r.id = a.run_id WHERE r.tenant_id = 'grouped' AND a.status = 'failed') AS attempts,
              (SELECT count(*)::int FROM task_failure WHERE tenant_id = 'grouped' AND fingerprint IS NOT NULL AND error IS NULL) AS failures,
              (SELECT sum(failed_attempts)::int FROM error_group WHERE tenant_id = 'grouped') AS counted`,
    );
    expect(rows).toEqual([{ attempts: 6, failures: 6, counted: 6 }]);
  });
});

storeTest(
  'a tenant has so many groups and no more: the longest resolved go, and what is beyond is counted together',
  async () => {
    const database = await createTestDatabase();
    const db = new pg.Pool({ connectionString: database.url, max: 2 });
    onTestFinished(async () => {
      await db.end();
      await database.drop();
    });
    const counter = createFailureCounter(db, 2);
    let at = 0;
    const fail = (message: string) => {
      at += 1;
      return db.query(
        `INSERT INTO task_failure (run_id, action_id, epoch, attempt, tenant_id, action_type, final, error, at)
       VALUES ('bounded', 'a', 1, $1, 'bounded', 't', false, $2, now() + make_interval(secs => $1::int))`,
        [at, { code: 'c', message }],
      );
    };
    const templates = async () =>
      (
        await db.query<{ template: string; n: number }>(
          `SELECT template, failed_attempts::int AS n FROM error_group WHERE tenant_id = 'bounded' ORDER BY template`,
        )
      ).rows.map(({ template, n }) => [template, n]);
    const countAll = async () => {
      while ((await counter.count(10))?.counted !== 0);
    };
    for (const message of ['one', 'two', 'three', 'one']) await fail(message);
    await countAll();
    expect(await templates()).toEqual([
      ['failures of further kinds, which have no group of their own', 1],
      ['one', 2],
      ['two', 1],
    ]);
    await db.query(
      `UPDATE error_group SET state = 'resolved', state_at = now() + interval '1 hour' WHERE template IN ('one', 'two') AND tenant_id = 'bounded'`,
    );
    for (const message of ['four', 'one']) await fail(message);
    await countAll();
    expect(await templates()).toEqual([
      ['failures of further kinds, which have no group of their own', 1],
      ['four', 1],
      ['one', 3],
    ]);
  },
);
