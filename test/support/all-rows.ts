/** Everything that the database stores of the work of tenants, as text: for what must have left no row, and no secret. */
import type pg from 'pg';

/** Written by processes as time passes, or for each request whatever is answered. */
const PASSING = new Set(['audit_entry', 'audit_head', 'metric_total', 'worker', 'sweep_pass', 'request_count']);

/** By table. `all`: also of the tables that change by themselves, and of the queue's own. */
export async function allRows(db: pg.Pool, { all = false }: { all?: boolean } = {}): Promise<Record<string, string[]>> {
  const { rows: tables } = await db.query<{ name: string }>(
    `SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) AS name FROM information_schema.tables
     WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`,
  );
  const found: Record<string, string[]> = {};
  for (const { name } of tables) {
    const [schema, table = ''] = name.split('.');
    if (!all && (schema === 'bullmq' || PASSING.has(table))) continue;
    const { rows } = await db.query<{ text: string }>(`SELECT to_jsonb(t)::text AS text FROM ${name} t ORDER BY 1`);
    if (rows.length > 0) found[name] = rows.map(({ text }) => text);
  }
  return found;
}
