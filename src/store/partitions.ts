/**
 * The history of runs (attempts and events) lies in partitions by the week in which a run was accepted: run ids are UUIDs of
 * version 7, so they begin with a time and are ordered by it. Weeks are made ahead and dropped when retention has removed
 * their runs, which costs nothing for each row. What has no week (another kind of id, or nobody made the week in time) is in
 * the default partition, where retention removes rows one by one.
 */
import type pg from 'pg';
import type { HistoryStore } from '../engine/keep-history.ts';
import { inHistoryTransaction } from './history-transaction.ts';

export const HISTORY_TABLES = ['attempt', 'event'] as const;
type HistoryTable = (typeof HISTORY_TABLES)[number];

const WEEK_MS = 7 * 24 * 3600 * 1000;
/** The present week and the next two: workers may be away for a fortnight. */
const WEEKS_AHEAD = 2;
/** Old runs that are still there (they waited for long) keep their rows: up to so many are moved out of a week. */
const MAX_ROWS_MOVED = 5_000;

/** Overlaps with what is there, or the default partition already has rows of that week: the week stays as it is. */
const NOT_POSSIBLE = new Set(['42P17', '23514', '42P07']);

const BOUNDS = `
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass ORDER BY 2`;

export function createHistoryStore(pool: pg.Pool): HistoryStore {
  return {
    async makeWeeks(nowMs) {
      const made: string[] = [];
      for (const table of HISTORY_TABLES) {
        const there = new Set((await partitionsOf(pool, table)).map(({ name }) => name));
        for (const startMs of weeksFrom(nowMs)) {
          const name = weekName(table, startMs);
          if (!there.has(name) && (await makeWeek(pool, table, startMs))) made.push(name);
        }
      }
      return made;
    },
    async dropWeeks(olderThanMs) {
      const dropped: string[] = [];
      for (const table of HISTORY_TABLES) {
        for (const { name, from, to } of await partitionsOf(pool, table)) {
          if (to === undefined || to > idPrefix(olderThanMs)) continue;
          if (await dropWeek(pool, table, { name, from, to })) dropped.push(name);
        }
      }
      return dropped;
    },
  };
}

function weeksFrom(nowMs: number): number[] {
  const first = Math.floor(nowMs / WEEK_MS) * WEEK_MS;
  return Array.from({ length: WEEKS_AHEAD + 1 }, (_, week) => first + week * WEEK_MS);
}

function weekName(table: HistoryTable, startMs: number): string {
  return `${table}_${new Date(startMs).toISOString().slice(0, 10).replaceAll('-', '')}`;
}

/** How the ids of that millisecond begin. */
export function idPrefix(ms: number): string {
  const hex = Math.floor(ms).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

interface Partition {
  name: string;
  /** undefined: from the beginning. */
  from: string | undefined;
  /** undefined: the default partition. */
  to: string | undefined;
}

async function partitionsOf(pool: pg.Pool, table: HistoryTable): Promise<Partition[]> {
  const { rows } = await pool.query<{ name: string; bound: string }>(BOUNDS, [table]);
  return rows.map(({ name, bound }) => {
    const [, from, to] = /FROM \((?:MINVALUE|'(.*)')\) TO \('(.*)'\)$/.exec(bound) ?? [];
    return { name, from, to };
  });
}

/** Made beside the others and then attached: that keeps nobody from writing, but to the default partition for a moment. */
function makeWeek(pool: pg.Pool, table: HistoryTable, startMs: number): Promise<boolean> {
  const name = weekName(table, startMs);
  const [from, to] = [idPrefix(startMs), idPrefix(startMs + WEEK_MS)];
  return inHistoryTransaction(pool, NOT_POSSIBLE, async (client) => {
    await client.query(`CREATE TABLE ${name} (LIKE ${table} INCLUDING ALL)`);
    await client.query(`ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${from}') TO ('${to}')`);
    return true;
  });
}

/**
 * The rows of removed runs go with their week; those of the few runs that are left move to the default partition. Readers
 * and writers of the table wait for that moment, so the rows are few, and looked for before.
 */
function dropWeek(pool: pg.Pool, table: HistoryTable, { name, from, to }: Required<Partition>): Promise<boolean> {
  return inHistoryTransaction(pool, new Set(), async (client) => {
    const left = `FROM "${name}" h JOIN run r ON r.id = h.run_id WHERE r.id >= $1 AND r.id < $2`;
    const range = [from ?? '', to];
    const { rowCount } = await client.query(`SELECT 1 ${left} LIMIT ${MAX_ROWS_MOVED + 1}`, range);
    if ((rowCount ?? 0) > MAX_ROWS_MOVED) return false;
    // Nothing is written to it from here on, nor to the table.
    await client.query(`ALTER TABLE ${table} DETACH PARTITION "${name}"`);
    await client.query(`INSERT INTO ${table} SELECT h.* ${left}`, range);
    await client.query(`DROP TABLE "${name}"`);
    return true;
  });
}
