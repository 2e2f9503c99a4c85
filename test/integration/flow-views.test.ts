/** The views that older readers of flow runs select from: their columns, and what a reader of another tenant sees of them. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { describe, expect } from 'vitest';
import { FLOW_RUN_STATUSES, FLOW_TASK_STATUSES } from '../../src/features/flow-runner/domain.ts';
import { projectRoot } from '../../src/project-root.ts';
import { accepted, type Client, field, type Headings } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';

const KEY = randomBytes(32).toString('base64');
const [plain] = onBothBackends();
const [sealed] = onBothBackends({ environment: { SECRETS_KEY: KEY, ENCRYPT_PAYLOADS: 'true' } });
const some = (one: typeof plain) => [one].filter((it) => it !== undefined);

const FLOW = {
  id: 'order',
  tasks: [
    { id: 'reserve', handler: 'test_task', inputs: { sku: '{{params.sku}}', $enc: ['their own'] } },
    { id: 'never', handler: 'test_task', condition: 'false', depends_on: ['reserve'] },
    { id: 'breaks', handler: 'test_task', inputs: { fail_with: 'it broke' }, retries: 1, depends_on: ['reserve'] },
    { id: 'after', handler: 'test_task', depends_on: ['breaks'] },
  ],
};

const RUN_COLUMNS = {
  ...{ id: 'bigint', run_id: 'character varying(255)', flow_id: 'character varying(255)' },
  ...{
    tenant_id: 'character varying(255)',
    user_id: 'character varying(255)',
    correlation_id: 'character varying(255)',
  },
  ...{ status: 'character varying(50)', input_data: 'jsonb', output_data: 'jsonb', execution_context: 'jsonb' },
  ...{ error_message: 'text', created_at: 'timestamp with time zone', updated_at: 'timestamp with time zone' },
  completed_at: 'timestamp with time zone',
};
const TASK_COLUMNS = {
  ...{ id: 'bigint', run_id: 'character varying(255)', task_id: 'character varying(255)' },
  ...{ handler: 'character varying(255)', status: 'character varying(50)', attempts: 'integer', input_data: 'jsonb' },
  ...{ output_data: 'jsonb', error_message: 'text', execution_time_ms: 'integer' },
  ...{ created_at: 'timestamp with time zone', updated_at: 'timestamp with time zone' },
  completed_at: 'timestamp with time zone',
};
const RUNS = 'SELECT * FROM flow_run_history WHERE run_id = $1';
const TASKS = 'SELECT * FROM task_execution_history WHERE run_id = $1 ORDER BY id';

describe.each(some(plain))('the views of flow runs on $backend', ({ test }) => {
  test('they have the older columns, in this order, with these types', async ({ db }) => {
    expect(await columnsOf(db, 'flow_run_history')).toEqual(Object.entries(RUN_COLUMNS));
    expect(await columnsOf(db, 'task_execution_history')).toEqual(Object.entries(TASK_COLUMNS));
  });

  test('they say what the API says, with a number that stays', async ({ api, db }) => {
    const id = await runFlow(api, {}, { 'X-User-ID': 'eve', 'X-Correlation-ID': 'corr-7' });
    const [run] = (await db.query(RUNS, [id])).rows;
    const shown = (await api.get(`/v1/runs/${id}`)).body as Record<string, unknown>;
    expect(run).toMatchObject({
      ...{ run_id: id, flow_id: 'order', tenant_id: 'default', user_id: 'eve', correlation_id: 'corr-7' },
      ...{
        status: shown['status'],
        input_data: shown['input'],
        output_data: null,
        execution_context: { shop: 'north' },
      },
      ...{ error_message: shown['error'], status: 'FAILED' },
    });
    expect(run.created_at.toISOString()).toBe(shown['created_at']);
    expect(run.updated_at >= run.completed_at && run.completed_at >= run.created_at).toBe(true);
    const tasks = (await db.query(TASKS, [id])).rows;
    expect(tasks.map(({ task_id, handler, status, attempts }) => ({ task_id, handler, status, attempts }))).toEqual([
      { task_id: 'reserve', handler: 'test_task', status: 'COMPLETED', attempts: 1 },
      { task_id: 'never', handler: 'test_task', status: 'COMPLETED', attempts: expect.any(Number) },
      { task_id: 'breaks', handler: 'test_task', status: 'DEAD_LETTER', attempts: 2 },
      { task_id: 'after', handler: 'test_task', status: 'FAILED', attempts: expect.any(Number) },
    ]);
    expect(tasks[0]).toMatchObject({
      ...{ input_data: { sku: 'A-1', $enc: ['their own'] }, output_data: { sku: 'A-1', $enc: ['their own'] } },
      ...{ error_message: null, execution_time_ms: expect.any(Number) },
    });
    expect(tasks[2]?.error_message).toContain('it broke');
    expect(new Set(tasks.map((task) => task.id)).size).toBe(4);
    expect((await db.query(RUNS, [id])).rows[0].id).toBe(run.id);
    expect((await db.query(TASKS, [id])).rows.map((task) => task.id)).toEqual(tasks.map((task) => task.id));
    // Without a correlation id it is the run's own.
    const alone = await runFlow(api);
    expect((await db.query(RUNS, [alone])).rows[0]).toMatchObject({ correlation_id: alone });
    await expect(db.query('DELETE FROM flow_run_history')).rejects.toMatchObject({ code: '55000' });
    await expect(db.query("UPDATE task_execution_history SET status = 'X'")).rejects.toMatchObject({ code: '55000' });
  });

  test('every status of runs and tasks has the word that the API has', async ({ api, db }) => {
    const id = await runFlow(api);
    const client = await db.connect();
    try {
      await client.query('BEGIN');
      await client.query("UPDATE task SET status = 'pending', final = false WHERE run_id = $1", [id]);
      for (const [status, word] of Object.entries(FLOW_RUN_STATUSES)) {
        const final = !['PENDING', 'RUNNING'].includes(word);
        await client.query('UPDATE run SET status = $2, final = $3 WHERE id = $1', [id, status, final]);
        expect((await client.query(RUNS, [id])).rows[0].status, status).toBe(word);
      }
      await client.query("UPDATE run SET status = 'queued', final = false WHERE id = $1", [id]);
      await client.query("UPDATE task SET status = 'running' WHERE run_id = $1 AND action_id = 'reserve'", [id]);
      expect((await client.query(RUNS, [id])).rows[0].status).toBe('RUNNING');
      for (const [status, word] of Object.entries(FLOW_TASK_STATUSES)) {
        const final = !['PENDING', 'RUNNING', 'RETRYING'].includes(word);
        await client.query('UPDATE task SET status = $2, final = $3 WHERE run_id = $1', [id, status, final]);
        expect((await client.query(TASKS, [id])).rows[0].status, status).toBe(word);
      }
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('a reader sees its own tenant, with and without row-level security, and nothing without one', async ({
    api,
    db,
    stack,
  }) => {
    const ours = await runFlow(api);
    const theirs = await runFlow(api, {}, { 'X-Tenant-ID': 'acme' });
    // An execution that is no flow run is in neither.
    const plainRun = await api.execute(
      await api.createWorkflow({ name: 'x', actions: [{ action_id: 'a', action_type: 'test_task' }] }),
    );
    await api.ended(plainRun);
    expect((await db.query('SELECT FROM flow_run_history WHERE run_id = $1', [plainRun])).rowCount).toBe(0);
    expect((await db.query('SELECT FROM flow_run_history WHERE run_id = ANY($1)', [[ours, theirs]])).rowCount).toBe(2);

    const [role, withPolicies, withoutPolicies] = sqlOfGuide();
    await db.query(`DROP OWNED BY ${READER}`).catch(() => undefined);
    await db.query(`${role}`.replaceAll('orchestrator_reader', READER).replace(/^CREATE ROLE.*$/m, MAKE_READER));
    const seen = async (tenant: string | undefined) => {
      const reader = await asReader(stack, tenant);
      try {
        const runs = await reader.query('SELECT run_id, tenant_id FROM flow_run_history');
        const tasks = await reader.query('SELECT DISTINCT run_id FROM task_execution_history');
        expect(tasks.rows.map((row) => row.run_id).sort()).toEqual(runs.rows.map((row) => row.run_id).sort());
        return runs.rows as Array<{ run_id: string; tenant_id: string }>;
      } finally {
        await reader.end();
      }
    };
    const expectApart = async () => {
      expect(await seen('acme')).toEqual([{ run_id: theirs, tenant_id: 'acme' }]);
      const own = await seen('default');
      expect(own.map(({ run_id: id }) => id)).toContain(ours);
      expect(new Set(own.map((row) => row.tenant_id))).toEqual(new Set(['default']));
      expect(await seen('nobody')).toEqual([]);
      expect(await seen(undefined)).toEqual([]);
    };
    try {
      await db.query(`${withPolicies}`.replaceAll('orchestrator_reader', READER));
      await expectApart();
      // Nor do the tables below them show another tenant.
      const reader = await asReader(stack, 'acme');
      for (const [table, column] of [
        ['run', 'id'],
        ['flow_run', 'run_id'],
        ['task', 'run_id'],
      ] as const) {
        const { rows } = await reader.query(`SELECT DISTINCT ${column} AS id FROM ${table}`);
        expect(rows, table).toEqual([{ id: theirs }]);
      }
      await reader.end();
      // As it is where the views read with the rights of their owner.
      await db.query(`DROP OWNED BY ${READER}`);
      await db.query(`${role}`.replaceAll('orchestrator_reader', READER).replace(/^CREATE ROLE.*$/m, ''));
      await db.query(`${withoutPolicies}`);
      await expectApart();
    } finally {
      await db.query(`DROP OWNED BY ${READER}`);
      await db.query(`DROP ROLE ${READER}`);
    }
  });
});

describe.each(some(sealed))('the views of encrypted flow runs on $backend', ({ test }) => {
  test('payloads are not shown, and nothing else is missing', async ({ api, db, stack }) => {
    const id = await runFlow(api);
    const [run] = (await db.query(RUNS, [id])).rows;
    const encrypted = { encrypted: true };
    expect(run).toMatchObject({
      ...{ status: 'FAILED', flow_id: 'order', input_data: encrypted, execution_context: encrypted },
      ...{ output_data: null, error_message: 'encrypted' },
    });
    const [reserve, , breaks] = (await db.query(TASKS, [id])).rows;
    expect(reserve).toMatchObject({ input_data: encrypted, output_data: encrypted, error_message: null });
    expect(breaks).toMatchObject({ status: 'DEAD_LETTER', error_message: 'encrypted' });
    // The owner of the data still has it, also in an export, and templates have it too.
    const tell = {
      id: 'tell',
      tasks: [{ id: 'tell', handler: 'test_task', inputs: { of: '{{run.execution_context.shop}}' } }],
    };
    const second = await runFlow(api, { flow_definition: tell });
    expect((await api.get(`/v1/runs/${second}`)).body).toMatchObject({ output: { tell: { of: 'north' } } });
    const lines = (await (await fetch(`${stack.api.url}/tenants/default/export`)).text()).split('\n').filter(Boolean);
    const rows = lines.map((line) => JSON.parse(line) as { kind: string; data: Record<string, unknown> });
    const exported = rows.find(({ kind, data }) => kind === 'run' && data['id'] === second);
    expect(exported?.data).toMatchObject({ execution_context: { shop: 'north' } });
    expect(rows.some(({ kind, data }) => kind === 'flow_run' && data['run_id'] === second)).toBe(true);
    const { rows: stored } = await db.query('SELECT execution_context::text AS text FROM run WHERE id = $1', [second]);
    expect(stored[0].text).not.toContain('north');
  });
});

/** Roles belong to the whole server, which other tests use at the same time. */
const READER = `orchestrator_reader_${randomBytes(4).toString('hex')}`;
const PASSWORD = randomBytes(8).toString('hex');
const MAKE_READER = `CREATE ROLE ${READER} LOGIN PASSWORD '${PASSWORD}';`;

async function asReader({ databaseUrl }: Stack, tenant: string | undefined): Promise<pg.Client> {
  const url = new URL(databaseUrl);
  url.username = READER;
  url.password = PASSWORD;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  if (tenant !== undefined) await client.query("SELECT set_config('orchestrator.tenant', $1, false)", [tenant]);
  return client;
}

/** The role, the policies, and what is done without them: as the guide has them. */
function sqlOfGuide(): string[] {
  const guide = readFileSync(path.join(projectRoot(), 'docs/guide/flow-runs.md'), 'utf8');
  const blocks = [...guide.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql = '']) => sql);
  expect(blocks.length).toBe(4);
  return blocks;
}

async function columnsOf(db: pg.Pool, view: string): Promise<Array<[string, string]>> {
  const { rows } = await db.query<{ name: string; type: string }>(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum`,
    [view],
  );
  return rows.map(({ name, type }) => [name, type]);
}

async function runFlow(api: Client, more: object = {}, headers: Headings = {}): Promise<string> {
  const body = { flow_id: 'order', flow_definition: FLOW, input: { sku: 'A-1' }, ...more };
  const answer = await api.post('/v1/runs', { ...body, execution_context: { shop: 'north' } }, headers);
  const id = field(accepted(answer, 202), 'run_id');
  await until(
    async () => {
      const shown = (await api.get(`/v1/runs/${id}`, headers)).body as { status: string };
      return !['PENDING', 'RUNNING'].includes(shown.status);
    },
    { what: 'the end of the flow run' },
  );
  return id;
}
