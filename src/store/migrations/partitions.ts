/**
 * The history of runs (attempts and events) lies in partitions by the week in which a run was accepted: run ids are UUIDs of
 * version 7, so they start with a time and are ordered by it. Weeks are made ahead and dropped when retention has removed
 * their runs, which costs nothing for each row. What has no week (another kind of id, or nobody made the week in time) is in
 * the default partition, where retention removes rows one by one.
 */
import type pg from 'pg';
import type { HistoryStore } from '../../engine/recover/keep-history.ts';
import { inHistoryTransaction } from './history-transaction.ts';

export const HISTORY_TABLES = ['attempt', 'event'] as const;
type HistoryTable = (typeof HISTORY_TABLES)[number];

const WEEK_MS = 7 * 24 * 3600 * 1000;
/** The present week and the next two: workers may be away for a fortnight. */
const WEEKS_AHEAD = 2;
/** Old runs that are still there (they waited for long) keep their rows: up to so many are moved out of a week. */
const MAX_ROWS_MOVED = 5_000;
/** A week that has fewer stays where something is left of it: it costs next to nothing. */
const FEW_BLOCKS = 16;
const ROWS_OF_SPARSE_BLOCK = 4;

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
    async dropRemovedWeeks(overMs) {
      const dropped: string[] = [];
      for (const table of HISTORY_TABLES) {
        for (const { name, from, to } of await partitionsOf(pool, table)) {
          if (to === undefined || to > idPrefix(overMs)) continue;
          const week = { name, from, to };
          if ((await isNearlyEmpty(pool, week)) && (await dropWeek(pool, table, week))) dropped.push(name);
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

/** The prefix of the ids of that millisecond. */
export function idPrefix(ms: number): string {
  const hex = Math.floor(ms).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

interface Partition {
  name: string;
  /** undefined: from the start. */
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

/** Made beside the others and then attached: that blocks no writes, but those to the default partition for a moment. */
function makeWeek(pool: pg.Pool, table: HistoryTable, startMs: number): Promise<boolean> {
  const name = weekName(table, startMs);
  const [from, to] = [idPrefix(startMs), idPrefix(startMs + WEEK_MS)];
  return inHistoryTransaction(pool, NOT_POSSIBLE, async (client) => {
    await client.query(`CREATE TABLE ${name} (LIKE ${table} INCLUDING ALL)`);
    await client.query(`ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${from}') TO ('${to}')`);
    return true;
  });
}

/** Nothing is left of it, or so little in so many blocks that nearly all has gone: a block holds dozens of rows. */
async function isNearlyEmpty(pool: pg.Pool, { name, from, to }: Required<Partition>): Promise<boolean> {
  const { rows } = await pool.query<{ left: number; blocks: number }>(
    `SELECT (SELECT count(*) FROM (SELECT 1 ${rowsLeft(name)} LIMIT ${MAX_ROWS_MOVED + 1}) found)::int AS left,
       (pg_relation_size('"${name}"') / current_setting('block_size')::int)::int AS blocks`,
    [from ?? '', to],
  );
  const { left, blocks } = rows[0] ?? { left: 0, blocks: 0 };
  return left === 0 || (left <= MAX_ROWS_MOVED && blocks >= FEW_BLOCKS && left < ROWS_OF_SPARSE_BLOCK * blocks);
}

/** Of runs that are still there, which were accepted from `$1` to `$2`. */
function rowsLeft(week: string): string {
  return `FROM "${week}" h JOIN run r ON r.id = h.run_id WHERE r.id >= $1 AND r.id < $2`;
}

/**
 * The rows of removed runs go with their week; those of the few runs that are left move to the default partition. Readers
 * and writers of the table wait for that moment, so the rows are few, and searched before.
 */
function dropWeek(pool: pg.Pool, table: HistoryTable, { name, from, to }: Required<Partition>): Promise<boolean> {
  return inHistoryTransaction(pool, new Set(), async (client) => {
    const left = rowsLeft(name);
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
