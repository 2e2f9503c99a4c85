/** The executions whose jobs the queue has to have, those first that are to be looked at next. */
import type pg from 'pg';
import type { RunRow } from '../engine/ports/rows.ts';
import { IN_QUEUE } from '../store/accept/window.ts';
import { type RawRun, RUN_COLUMNS, toRunRow } from '../store/runs/run-row.ts';

const LIVE_RUNS = `SELECT ${RUN_COLUMNS} FROM (${IN_QUEUE('r.*', 'true')}) AS r ORDER BY r.check_at LIMIT $1`;

export async function readLiveRuns(pool: pg.Pool, limit: number): Promise<RunRow[]> {
  const { rows } = await pool.query<RawRun>(LIVE_RUNS, [limit]);
  return rows.map(toRunRow);
}
