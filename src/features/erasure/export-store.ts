/** What is kept of a tenant: how much, that it is to be erased, and all of it row by row. */
import type pg from 'pg';
import type { TenantTables } from '../../feature.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { Erasure as ErasureRow } from '../../store/generated/client.ts';
import { PAYLOAD_COLUMNS } from '../../store/payloads/payload-columns.ts';
import { readText } from '../../store/payloads/payloads.ts';
import type { Erasure, ExportedRow, TenantData } from './ports.ts';
import { ERASURE, RUNS } from './store.ts';
import { HANGING_TABLES, OF_USER, RUN_TABLES, TENANT_TABLES } from './tables.ts';

/** A row may have an output of a megabyte. */
const ROWS_PER_PAGE = 25;
const RUNS_PER_PAGE = 50;

const REQUEST = `
INSERT INTO erasure (id, tenant_id, subject, force, requested_by, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + interval '400 days') RETURNING ${ERASURE}`;
const UNDER_WAY = `
UPDATE erasure SET force = force OR $3 WHERE id = (SELECT id FROM erasure
  WHERE tenant_id = $1 AND subject IS NOT DISTINCT FROM $2 AND status = 'pending' ORDER BY requested_at LIMIT 1) RETURNING ${ERASURE}`;

/** `tables`: those of features, beside the ones that are listed here. */
export function createTenantData(pool: pg.Pool, newId: () => string, tables: TenantTables = {}): TenantData {
  const ofTenant = { ...TENANT_TABLES, ...tables };
  return {
    async preview({ tenantId, subject }) {
      const rows: Record<string, number> = {};
      const scope = [tenantId, subject ?? null, 'infinity'];
      const counting = async (table: string, from: string, values: unknown[]) => {
        const found = await pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${from}`, values);
        if ((found.rows[0]?.n ?? 0) > 0) rows[table] = found.rows[0]?.n ?? 0;
      };
      await counting('run', `run r WHERE ${RUNS}`, scope);
      for (const table of Object.keys(RUN_TABLES)) {
        await counting(table, `${table} t JOIN run r ON r.id = t.run_id WHERE ${RUNS}`, scope);
      }
      if (subject === undefined) {
        for (const table of Object.keys(ofTenant)) await counting(table, `${table} WHERE tenant_id = $1`, [tenantId]);
        for (const [table, { column, parent }] of Object.entries(HANGING_TABLES)) {
          await counting(table, `${table} t JOIN ${parent} p ON p.id = t.${column} WHERE p.tenant_id = $1`, [tenantId]);
        }
      } else {
        for (const table of OF_USER.filter((one) => one !== 'run')) {
          await counting(table, `${table} WHERE tenant_id = $1 AND user_id = $2`, [tenantId, subject]);
        }
      }
      const active = await pool.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM run r WHERE ${RUNS} AND NOT r.final`,
        scope,
      );
      return { rows, active: active.rows[0]?.n ?? 0 };
    },
    async request({ userId }, { tenantId, subject }, force) {
      const of = [tenantId, subject ?? null];
      const known = await pool.query<ErasureRow>(UNDER_WAY, [...of, force]);
      const row = known.rows[0] ?? (await pool.query<ErasureRow>(REQUEST, [newId(), ...of, force, userId])).rows[0];
      if (row === undefined) throw new Error('an erasure was not written');
      return erasureOf(row);
    },
    async find(tenantId, id) {
      const text = `SELECT ${ERASURE} FROM erasure WHERE tenant_id = $1 AND id = $2`;
      const { rows } = await pool.query<ErasureRow>(text, [tenantId, id]);
      return rows[0] && erasureOf(rows[0]);
    },
    rows: (tenantId) => allRows(pool, tenantId, ofTenant),
  };
}

function erasureOf({ status, removed, ...row }: ErasureRow): Erasure {
  return { ...row, status: status as Erasure['status'], removed: removed as Erasure['removed'] }; // As they are written.
}

async function* allRows(pool: pg.Pool, tenantId: string, tables: TenantTables): AsyncGenerator<ExportedRow[]> {
  for (const [table, { key, hidden = [] }] of Object.entries(tables)) {
    yield* pages(pool, { table, key, hidden, where: 't.tenant_id = $1', value: tenantId });
  }
  for (const [table, { key, column, parent }] of Object.entries(HANGING_TABLES)) {
    const where = `t.${column} IN (SELECT id FROM ${parent} WHERE tenant_id = $1)`;
    yield* pages(pool, { table, key, hidden: [], where, value: tenantId });
  }
  let after = '';
  for (;;) {
    const { rows } = await pool.query<{ id: string }>(
      'SELECT id FROM run WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3',
      [tenantId, after, RUNS_PER_PAGE],
    );
    if (rows.length === 0) return;
    const ids = rows.map(({ id }) => id);
    yield* pages(pool, { table: 'run', key: ['id'], hidden: [], where: 't.id = ANY ($1)', value: ids });
    for (const [table, { key, hidden = [] }] of Object.entries(RUN_TABLES)) {
      yield* pages(pool, { table, key, hidden, where: 't.run_id = ANY ($1)', value: ids });
    }
    after = ids.at(-1) ?? after;
  }
}

interface Pages {
  table: string;
  key: readonly string[];
  hidden: readonly string[];
  where: string;
  value: unknown;
}

async function* pages(pool: pg.Pool, { table, key, hidden, where, value }: Pages): AsyncGenerator<ExportedRow[]> {
  const columns = key.map((column) => `t."${column}"`).join(', ');
  const places = key.map((_, index) => `$${index + 3}`).join(', ');
  // What may be sealed is opened where it is a column of its own.
  const { json = [], text = [] } = PAYLOAD_COLUMNS[table] ?? {};
  const payloads = [...json.map((name) => [name, `t.${name}`]), ...text.map((name) => [name, readText(`t.${name}`)])];
  const opened = payloads.map(([name, value]) => `, ${value} AS "${name}"`).join('');
  const select = (behind: string) =>
    `SELECT to_jsonb(t) - $2::text[] AS data${opened} FROM ${table} t WHERE ${where}${behind} ORDER BY ${columns} LIMIT ${ROWS_PER_PAGE}`;
  let last: JsonObject | undefined;
  for (;;) {
    const behind = last === undefined ? '' : ` AND (${columns}) > (${places})`;
    const keys = last === undefined ? [] : key.map((column) => last?.[column]);
    const left = [...hidden, ...json, ...text];
    const { rows } = await pool.query<JsonObject & { data: JsonObject }>(select(behind), [value, left, ...keys]);
    if (rows.length > 0) yield rows.map(({ data, ...more }) => ({ kind: table, data: { ...data, ...more } }));
    if (rows.length < ROWS_PER_PAGE) return;
    last = rows.at(-1)?.data;
  }
}
