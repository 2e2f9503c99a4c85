/**
 * Statistics for tables that have grown since they were last analysed. Autovacuum checks once a minute; until then the
 * planner believes that a new table is empty, where every index is as good as any other: a run was looked up through the
 * index of all runs of its tenant, and the plan was cached (28 ms instead of 0.04 with 30,000 runs).
 */
import pg from 'pg';

/** Below it a wrong plan costs nothing. */
const MIN_ROWS = 100;
/** Rare enough to be free, and plans do not change for less. */
const GROWN_TIMES = 3;

const GROWN = `
SELECT c.relname AS name FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname = current_schema() AND s.n_live_tup > ${MIN_ROWS} AND s.n_live_tup > ${GROWN_TIMES} * greatest(c.reltuples, 0)
ORDER BY c.relname`;

/** Answers the tables that it has counted. Cached plans for them are made again, in every connection. */
export async function countGrownTables(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>({ name: 'grown-tables', text: GROWN });
  const tables = rows.map(({ name }) => name);
  // Not if somebody else does. A role that does not own them may not; it is warned then, and autovacuum comes in time.
  if (tables.length > 0)
    await pool.query(`ANALYZE (SKIP_LOCKED) ${tables.map((table) => pg.escapeIdentifier(table)).join(', ')}`);
  return tables;
}
