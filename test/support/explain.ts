/** What a statement costs on a connection that chooses its plans as an API does, or as a worker does: once, for any values. */
import type pg from 'pg';

export const PLANNED = ['auto', 'force_generic_plan'] as const;

export interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Shared Hit Blocks'?: number;
  'Shared Read Blocks'?: number;
  Plans?: PlanNode[];
}

/** Runs the statement, prepared. The settings of the connection are as before afterwards. */
export async function explain(
  client: pg.ClientBase,
  planned: (typeof PLANNED)[number],
  text: string,
  values: readonly unknown[],
): Promise<PlanNode> {
  const given = values.length === 0 ? '' : `(${values.map((value) => literal(client, value)).join(', ')})`;
  const { rows: before } = await client.query<{ mode: string }>(`SELECT current_setting('plan_cache_mode') AS mode`);
  await client.query(`SET plan_cache_mode = ${planned}`);
  await client.query(`PREPARE explained AS ${text}`);
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE explained${given}`,
  );
  await client.query(`DEALLOCATE explained; SET plan_cache_mode = ${before[0]?.mode ?? 'auto'}`);
  const [row] = rows;
  if (row === undefined) throw new Error('EXPLAIN says nothing');
  return row['QUERY PLAN'][0].Plan;
}

/** Pages of tables and indexes that were looked at. */
export function pagesOf(plan: PlanNode): number {
  return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
}

function literal(client: pg.ClientBase, value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  return client.escapeLiteral(Array.isArray(value) ? `{${value.map(element).join(',')}}` : plain(value));
}
function element(value: unknown): string {
  return value === null ? 'NULL' : JSON.stringify(plain(value));
}
function plain(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value);
}
