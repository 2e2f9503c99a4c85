/** The removal of runs that ended long ago: one statement a batch, over rows that nobody else has a use for. */
import type pg from 'pg';
import type { Due, RetentionStore } from '../../engine/recover/remove-old-runs.ts';
import { inTransaction } from '../core/in-transaction.ts';
import { HISTORY_TABLES } from '../migrations/partitions.ts';

/** Any constant will do, as long as it is ours alone in the database. */
const RETENTION_LOCK = 7_202_612;
/** A run may have ten thousand tasks: after so many a batch is full. */
export const TASKS_PER_BATCH = 5_000;

/** The oldest come in the order of their index; a bitmap of all that is due would be made for each batch again. */
export const BY_INDEX = 'SET LOCAL enable_bitmapscan = off';

/** The rows of a run that go with it in any case. */
const GOES_WITH_RUN = [
  'late_effect',
  'run_dedupe',
  'session_run',
  'task_report',
  'task_chunk',
  'external_task',
  'approval',
  'approval_decision',
  'signal_wait',
  'signal_message',
  'task_failure',
  'task_log',
  'run_log',
  'flow_run',
  'task',
];
/** Whatever retention removes, and so what is measured. */
const MEASURED_TABLES = ['run', ...HISTORY_TABLES, ...GOES_WITH_RUN];

// A run whose callback is not delivered yet stays, also one that another run, which has not ended, may still read.
const NOT_NEEDED = `(r.callback_url IS NULL OR NOT EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.id = r.id || '.' || r.epoch AND d.status = 'pending'))
    AND (r.awaited IS NOT TRUE OR NOT EXISTS (SELECT 1 FROM run p WHERE p.id = r.parent_run_id AND NOT p.final))`;

/** When the days of its own are over: the expression of an index, which has to be immutable. */
const OWN_END = `(r.finished_at AT TIME ZONE 'UTC') + make_interval(days => r.retention_days)`;
const OWN_DAYS = 'r.final AND r.retention_days IS NOT NULL';
const DUE_BY_SETTING =
  'r.final AND r.retention_days IS NULL AND r.finished_at < now() - make_interval(days => $3::int)';

/**
 * Attempts and events go with the week of their run (partitions.ts), and only what has no week goes here; or all of them go
 * at once, a row at a time. A run that is retried at this moment is locked, and passed over.
 */
function removal(due: string, order: string, history: 'with_week' | 'at_once'): string {
  const tables = [
    ...HISTORY_TABLES.map((table) => (history === 'at_once' ? table : `${table}_default`)),
    ...GOES_WITH_RUN,
  ];
  return `
WITH candidates AS MATERIALIZED (
  SELECT r.id, ${order} AS place, (SELECT count(*) FROM task t WHERE t.run_id = r.id) AS tasks
  FROM run r WHERE ${due}
    AND ${NOT_NEEDED}
  ORDER BY place LIMIT $1
), few AS (
  SELECT id FROM (SELECT id, sum(tasks) OVER (ORDER BY place, id) - tasks AS before FROM candidates) c
  WHERE before < $2
), old AS MATERIALIZED (
  SELECT r.id FROM run r WHERE r.id IN (SELECT id FROM few) AND ${due} ORDER BY r.id FOR UPDATE SKIP LOCKED
), ${tables.map((table) => `of_${table} AS (\n  DELETE FROM ${table} WHERE run_id IN (SELECT id FROM old)\n)`).join(', ')}
DELETE FROM run WHERE id IN (SELECT id FROM old)`;
}

export const REMOVE_BY_SETTING = removal(DUE_BY_SETTING, 'r.finished_at', 'with_week');
const REMOVE_BY_SETTING_AT_ONCE = removal(DUE_BY_SETTING, 'r.finished_at', 'at_once');
// Others of their week stay for longer, or for ever.
export const REMOVE_BY_OWN_DAYS = removal(`${OWN_DAYS} AND ${OWN_END} < now() AT TIME ZONE 'UTC'`, OWN_END, 'at_once');
export const REMOVE_OLDEST = removal('r.final AND r.finished_at <= $3::timestamptz', 'r.finished_at', 'at_once');

// Weeks in which such runs are stay long after the setting's days, so nothing goes with them. The newest of them tell: those
// that ended before them are gone by then too, or nearly.
const SOME_STAY_LONGER = `
SELECT EXISTS (SELECT 1 FROM run r WHERE ${OWN_DAYS} AND ${OWN_END} > now() AT TIME ZONE 'UTC' + make_interval(days => $1::int)) AS stay`;

const END_OF_OLDEST = `
SELECT max(finished_at) AS at FROM (
  SELECT r.finished_at FROM run r WHERE r.final AND ${NOT_NEEDED} ORDER BY r.finished_at LIMIT $1
) oldest`;

/** Of a table that has more blocks a sample is read. */
const SAMPLED_BLOCKS = 1_000;
/** The header of a row and its pointer in the block. */
const ROW_OVERHEAD_BYTES = 28;

/** What the tables take on the disk, free space included, and what is needed to look into them. */
export const TABLE_SIZES = `
SELECT c.relname AS table, sum(pg_table_size(coalesce(i.inhrelid, c.oid)))::float8 AS allocated,
  sum(pg_relation_size(coalesce(i.inhrelid, c.oid)) / current_setting('block_size')::int)::float8 AS blocks,
  (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhparent = c.oid
WHERE c.oid = ANY ('{${MEASURED_TABLES.join(', ')}}'::regclass[]) GROUP BY c.oid, c.relname`;

interface TableSize {
  table: string;
  allocated: number;
  blocks: number;
  columns: string[];
}

/** Column by column: to measure a row at once would fetch and unpack all that is stored apart. */
function sampleOf({ table, columns }: TableSize): string {
  const sizes = columns.map((name) => `coalesce(pg_column_size(h."${name}"), 0)`).join(' + ');
  // What is left of runs that were removed goes with its week.
  const condition = HISTORY_TABLES.some((name) => name === table)
    ? 'EXISTS (SELECT 1 FROM run r WHERE r.id = h.run_id)'
    : 'true';
  const ended = table === 'run' ? 'count(*) FILTER (WHERE h.final)' : '0';
  return `SELECT coalesce(sum(${ROW_OVERHEAD_BYTES} + ${sizes}), 0)::float8 AS bytes, ${ended}::float8 AS ended
FROM "${table}" h TABLESAMPLE SYSTEM ($1) WHERE ${condition}`;
}

interface Statement {
  /** Prepared: to plan a removal from so many tables takes longer than to find that nothing is due. */
  name: string;
  text: string;
}
const BY_OWN_DAYS: Statement = { name: 'remove-by-own-days', text: REMOVE_BY_OWN_DAYS };
const OLDEST: Statement = { name: 'remove-oldest', text: REMOVE_OLDEST };
const BY_SETTING: Statement = { name: 'remove-by-setting', text: REMOVE_BY_SETTING };
const BY_SETTING_AT_ONCE: Statement = { name: 'remove-by-setting-at-once', text: REMOVE_BY_SETTING_AT_ONCE };

export function createRetentionStore(pool: pg.Pool): RetentionStore {
  return {
    removeBatch: (due, limit) =>
      locked(pool, async (client) => {
        const [statement, value] = await statementFor(client, due);
        const values = [limit, TASKS_PER_BATCH, ...(value === undefined ? [] : [value])];
        return (await client.query({ ...statement, values })).rowCount ?? 0;
      }),
    measure: (enough) =>
      locked(pool, async (client) => {
        const { rows } = await client.query<TableSize>(TABLE_SIZES);
        const allocated = rows.reduce((sum, table) => sum + table.allocated, 0);
        if (allocated <= enough) return { bytes: allocated, endedRuns: 0 };
        const measured = { bytes: 0, endedRuns: 0 };
        for (const table of rows) {
          const percent = Math.min(100, (100 * SAMPLED_BLOCKS) / Math.max(1, table.blocks));
          const sample = await client.query<{ bytes: number; ended: number }>(sampleOf(table), [percent]);
          measured.bytes += ((sample.rows[0]?.bytes ?? 0) * 100) / percent;
          measured.endedRuns += ((sample.rows[0]?.ended ?? 0) * 100) / percent;
        }
        return measured;
      }),
    endOfOldest: (count) =>
      inTransaction(pool, async (client) => {
        await client.query(BY_INDEX);
        const { rows } = await client.query<{ at: Date | null }>(END_OF_OLDEST, [count]);
        return rows[0]?.at ?? undefined;
      }),
  };
}

async function statementFor(client: pg.PoolClient, due: Due): Promise<[statement: Statement, value?: number | Date]> {
  switch (due.by) {
    case 'own_days':
      return [BY_OWN_DAYS];
    case 'end':
      return [OLDEST, due.endedBy];
    case 'setting': {
      if (due.history === 'at_once') return [BY_SETTING_AT_ONCE, due.days];
      const { rows } = await client.query<{ stay: boolean }>(SOME_STAY_LONGER, [due.days]);
      return [rows[0]?.stay === true ? BY_SETTING_AT_ONCE : BY_SETTING, due.days];
    }
  }
}

/** By one process at a time; undefined: another one is at it. */
function locked<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T | undefined> {
  return inTransaction(pool, async (client) => {
    await client.query(BY_INDEX);
    const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [
      RETENTION_LOCK,
    ]);
    return rows[0]?.mine === true ? work(client) : undefined;
  });
}
