/** Erasing and exporting what is kept of a tenant or of one user. */
import { describe, expect } from 'vitest';
import { declaredBy, FEATURES } from '../../src/compose/features.ts';
import { CHANGED_COLUMNS, createErasureSteps } from '../../src/features/erasure/store.ts';
import {
  HANGING_TABLES,
  OF_USER,
  RETAINED_TABLES,
  RUN_TABLES,
  TENANT_TABLES,
} from '../../src/features/erasure/tables.ts';
import { keysOf, prefixesOf } from '../harness/checker/at-rest.ts';
import { accepted, type Client, field, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

// The queue does not matter here.
/** Those of features among them. */
const OF_TENANTS = { ...TENANT_TABLES, ...declaredBy(FEATURES).tables };
const ONE = onBothBackends().slice(0, 1);
const as = (api: Client, tenant: string, user = 'anna') =>
  openClient(api.url, { 'x-tenant-id': tenant, 'x-user-id': user });

const ASKS = workflow([
  { action_id: 'ask', action_type: 'approval', config: { approvers: ['anna', 'bert'] }, depends_on: [] },
]);

interface Line {
  kind: string;
  data: Record<string, unknown>;
  counts: Record<string, number>;
}
async function exported(api: Client, tenant: string): Promise<Line[]> {
  const answer = await fetch(`${api.url}/tenants/${tenant}/export`, { headers: { 'x-tenant-id': tenant } });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-ndjson; charset=utf-8']);
  return (await answer.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line); // As it is documented.
}

async function ended(api: Client, tenant: string, id: string) {
  const path = `/tenants/${tenant}/erasures/${id}`;
  const found = async () =>
    accepted(await api.get(path), 200).body as { status: string; removed: Record<string, number> };
  await until(async () => (await found()).status === 'completed', { what: 'everything is erased' });
  return found();
}

/** Rows of the tenant in all tables that have one. */
async function left({ db }: Stack, tenant: string, tables: Iterable<string>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of tables) {
    const { rows } = await db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table} WHERE tenant_id = $1`, [
      tenant,
    ]);
    if ((rows[0]?.n ?? 0) > 0) counts[table] = rows[0]?.n ?? 0;
  }
  return counts;
}

/** Jobs of these executions that the queue keeps anything of, in whatever state. */
async function jobsOf({ db, redis, queuePrefix, queueShards }: Stack, runIds: readonly string[]): Promise<string[]> {
  const names =
    redis === undefined
      ? (await db.query<{ id: string }>('SELECT id FROM bullmq.job')).rows.map(({ id }) => id)
      : (await Promise.all(prefixesOf(queuePrefix, queueShards).map((prefix) => keysOf(redis, prefix))))
          .flat()
          .flatMap((key) => key.split(':'));
  return [...new Set(names)].filter((name) => runIds.some((runId) => name.startsWith(`${runId}.`)));
}

/** Of every table what says whose its rows are, from the catalogue of the database. */
async function columns({ db }: Stack): Promise<Map<string, string[]>> {
  const { rows } = await db.query<{ table: string; columns: string[] }>(`
    SELECT c.relname AS table, array_agg(a.attname::text) AS columns FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition GROUP BY 1`);
  return new Map(rows.map((row) => [row.table, row.columns]));
}

describe.each(ONE)('data of tenants on $backend', ({ test }) => {
  test('every table that has something of a tenant is known, with every column that names a user', async ({
    stack,
  }) => {
    const all = await columns(stack);
    const known = (table: string) =>
      [RUN_TABLES, OF_TENANTS, HANGING_TABLES, RETAINED_TABLES].some((tables) => Object.hasOwn(tables, table));
    const owned = ['tenant_id', 'run_id', 'workflow_id', 'schedule_id', 'webhook_id', 'user_id'];
    const forgotten = [...all].filter(
      ([table, names]) => table !== 'run' && names.some((name) => owned.includes(name)) && !known(table),
    );
    expect(forgotten.map(([table]) => table)).toEqual([]);
    const tables = [...Object.keys(RUN_TABLES), ...Object.keys(OF_TENANTS), ...Object.keys(HANGING_TABLES)];
    expect([...tables, ...Object.keys(RETAINED_TABLES)].filter((table) => !all.has(table))).toEqual([]);
    const covered = new Set(CHANGED_COLUMNS.map(({ table, column }) => `${table}.${column}`));
    for (const table of OF_USER) covered.add(`${table}.user_id`);
    const whose = [...all].flatMap(([table, names]) =>
      names.filter((name) => /^by$|_by$|^user_id$/.test(name)).map((name) => `${table}.${name}`),
    );
    const kept = (name: string) => Object.hasOwn(RETAINED_TABLES, name.split('.', 1)[0] ?? '');
    expect(whose.filter((name) => !covered.has(name) && !kept(name))).toEqual([]);
    const hidden = new Map(Object.entries({ ...RUN_TABLES, ...OF_TENANTS }).map(([table, of]) => [table, of.hidden]));
    const secret = [...all].flatMap(([table, names]) =>
      names
        .filter((name) => /secret$|token$|envelope|^(?:previous_)?hash$/.test(name))
        .filter((name) => !Object.hasOwn(RETAINED_TABLES, table) && !hidden.get(table)?.includes(name))
        .map((name) => `${table}.${name}`),
    );
    // Of a document that a service serves to everybody.
    expect(secret).toEqual(['service_document.hash', 'service_drift.hash'].filter((name) => secret.includes(name)));
  });

  test('a tenant takes along everything, and then nothing is left of it but the audit', async ({ api: any, stack }) => {
    const api = as(any, 'gone');
    const other = as(any, 'stays');
    await other.run(workflow([echo('one')]));
    const runs: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      runs.push((await api.run(workflow([echo('one'), echo('two', ['one'])]))).execution_id);
    }
    const id = await api.createWorkflow(workflow([echo('one')]));
    accepted(await api.post('/schedules', { name: 'nightly', workflow_id: id, cron: '0 2 * * *' }), 201);
    accepted(await api.post('/webhooks', { url: 'https://example.com/hook', events: ['*'] }), 201);
    accepted(await api.post('/registry/register', { name: 'docs', base_url: 'http://docs.test:1' }), 200);
    const waiting = await api.execute(await api.createWorkflow(ASKS));
    const jobs = await jobsOf(stack, runs);
    expect(jobs.length).toBeGreaterThanOrEqual(runs.length);

    const lines = await exported(api, 'gone');
    expect(lines[0]).toEqual({ kind: 'header', format: 1, tenant_id: 'gone', at: expect.any(String) });
    const counts: Record<string, number> = {};
    for (const { kind } of lines.slice(1, -1)) counts[kind] = (counts[kind] ?? 0) + 1;
    expect(lines.at(-1)).toEqual({ kind: 'end', counts });
    expect(counts).toMatchObject({ run: 4, workflow: 5, workflow_version: 5, schedule: 1, webhook: 1, service: 1 });
    expect(counts['task']).toBeGreaterThanOrEqual(6);
    expect(lines.filter(({ data }) => (data?.['tenant_id'] ?? 'gone') !== 'gone')).toEqual([]);
    expect(JSON.stringify(lines)).not.toMatch(/whsec_|"lease_token"|"secret"/);

    expectProblem(await other.get('/tenants/gone/export'), 404, 'not_found');
    expectProblem(await other.send('DELETE', '/tenants/gone/data?force=true'), 404, 'not_found');
    expectProblem(await api.send('DELETE', '/tenants/gone/data?force=perhaps'), 400, 'invalid_request');
    const preview = accepted(await api.send('DELETE', '/tenants/gone/data?dry_run=true'), 200).body;
    expect(preview).toMatchObject({
      dry_run: true,
      subject: null,
      active_executions: 1,
      rows: { run: 4, schedule: 1 },
    });
    expectProblem(await api.send('DELETE', '/tenants/gone/data'), 409, 'active_runs');
    expect((await api.execution(waiting)).status).not.toBe('cancelled');

    const answer = accepted(await api.send('DELETE', '/tenants/gone/data?force=true'), 202);
    const erasure = field(answer, 'erasure_id');
    expect(answer.headers.get('location')).toBe(`/tenants/gone/erasures/${erasure}`);
    const { removed } = await ended(api, 'gone', erasure);
    expect(removed).toMatchObject({ run: 4, workflow: 5, schedule: 1, webhook: 1 });
    // Of what was cancelled just now a worker may still have one in hand.
    expect([jobs.length, jobs.length + 1]).toContain(removed['job']);
    expect(await jobsOf(stack, runs)).toEqual([]);
    expectProblem(await other.get(`/tenants/gone/erasures/${erasure}`), 404, 'not_found');
    const tables = [...(await columns(stack))]
      .filter(([, names]) => names.includes('tenant_id'))
      .map(([table]) => table);
    expect(Object.keys(await left(stack, 'gone', tables)).sort()).toEqual(['audit_entry', 'audit_head', 'erasure']);
    for (const table of Object.keys(RUN_TABLES).filter((one) => one !== 'event_out')) {
      const orphans = `SELECT FROM ${table} t WHERE NOT EXISTS (SELECT FROM run r WHERE r.id = t.run_id)`;
      expect((await stack.db.query(orphans)).rowCount, table).toBe(0);
    }
    expect(await exported(other, 'stays')).toContainEqual({ kind: 'end', counts: expect.objectContaining({ run: 1 }) });
    const audit = accepted(await api.get('/audit?action=eraseTenantData&decision=allowed'), 200).body;
    expect(audit).toMatchObject({ items: [{ resource_id: 'gone', status: 202 }, { status: 200 }] });
  });

  test('of one user the executions go, and the name from what is of others', async ({ api: any, stack }) => {
    const [anna, bert] = [as(any, 'shared'), as(any, 'shared', 'bert')];
    const asks = await anna.createWorkflow(ASKS);
    const mine = (await anna.run(workflow([echo('one')]))).execution_id;
    const theirs = await bert.execute(asks);
    await until(
      async () =>
        (await anna.post(`/workflows/executions/${theirs}/approve`, { action_id: 'ask', comment: 'fine by Anna' }))
          .status === 202,
      { what: 'it is asked' },
    );
    await bert.ended(theirs);
    const erasure = field(accepted(await bert.send('DELETE', '/tenants/shared/data?subject=anna'), 202), 'erasure_id');
    const { removed } = await ended(bert, 'shared', erasure);
    expect(removed).toMatchObject({ run: 1, 'approval_decision (changed)': 1, 'approval (changed)': 1 });
    expectProblem(await bert.get(`/workflows/executions/${mine}`), 404, 'not_found');
    expect((await bert.execution(theirs)).status).toBe('completed');
    const lines = await exported(bert, 'shared');
    const named = lines.filter(({ data }) => /"anna"|by Anna/.test(JSON.stringify(data ?? {}))).map(({ kind }) => kind);
    // What a task returned, and whom a definition names, is the tenant's.
    const own = ['task', 'run', 'workflow_version'];
    expect(named.filter((kind) => !own.includes(kind))).toEqual([]);
    expect(await left(stack, 'shared', ['workflow'])).toEqual({ workflow: 2 });
  });

  test('a batch that is interrupted leaves nothing half done, and the next one goes on', async ({
    api: any,
    stack,
  }) => {
    const api = as(any, 'crashed');
    const run = await api.run(workflow([echo('one')]));
    await stack.db.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF OLD.tenant_id = 'crashed' THEN RAISE EXCEPTION 'not now'; END IF; RETURN OLD; END $$;
      CREATE TRIGGER refuse BEFORE DELETE ON run FOR EACH ROW EXECUTE FUNCTION refuse()`);
    const id = field(accepted(await api.send('DELETE', '/tenants/crashed/data'), 202), 'erasure_id');
    const steps = createErasureSteps(stack.db);
    const cleared = { erasureId: id, runIds: [run.execution_id], jobs: 0 };
    // The worker may be at it at this moment, and then this one does nothing.
    const refused = () =>
      steps.step(100, cleared).then(
        () => false,
        (error: Error) => error.message.includes('not now'),
      );
    await until(refused, { what: 'the batch is refused' });
    expect((await api.execution(run.execution_id)).tasks).toHaveLength(1);
    await stack.db.query('DROP TRIGGER refuse ON run; DROP FUNCTION refuse()');
    expect((await ended(api, 'crashed', id)).removed).toMatchObject({ run: 1, task: 1, workflow: 1 });
  });
});
