/** Reads what became of the undoings of a run, by the action that each of them undoes. */
import type pg from 'pg';
import { compensatedBy, SAGA } from '../../domain/runs/saga.ts';
import type { CompensationView } from '../../engine/ports/run-views.ts';

export async function readUndoings(pool: pg.Pool, runId: string): Promise<Map<string, CompensationView>> {
  const { rows } = await pool.query<CompensationView & { actionId: string }>({
    name: 'read-undoings',
    text: `SELECT action_id AS "actionId", action_type AS "actionType", status, greatest(attempt, ended_attempt) AS attempts,
             input, output, error, started_at AS "startedAt", finished_at AS "finishedAt"
           FROM task WHERE run_id = $1 AND parent_id = '${SAGA}' ORDER BY position`,
    values: [runId],
  });
  return new Map(rows.map(({ actionId, ...view }) => [compensatedBy(actionId), view]));
}
