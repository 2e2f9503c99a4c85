/** Reads what became of the undoings of a run, by the action that each of them undoes. */
import type pg from 'pg';
import type { TaskStatus } from '../../domain/runs/run-states.ts';
import { SAGA, undoneBy } from '../../domain/runs/saga.ts';
import type { Json } from '../../schemas/json.ts';
import type { Compensation } from '../../schemas/workflow-answers.ts';

interface UndoingRecord {
  action_id: string;
  action_type: string;
  status: TaskStatus;
  attempts: number;
  input: Json;
  output: Json;
  error: Json;
  started_at: Date | null;
  finished_at: Date | null;
}

export async function readUndoings(pool: pg.Pool, runId: string): Promise<Map<string, Compensation>> {
  const { rows } = await pool.query<UndoingRecord>({
    name: 'read-undoings',
    text: `SELECT action_id, action_type, status, greatest(attempt, ended_attempt) AS attempts, input, output, error, started_at, finished_at
           FROM task WHERE run_id = $1 AND parent_id = '${SAGA}' ORDER BY position`,
    values: [runId],
  });
  return new Map(
    rows.map(({ action_id: id, started_at: started, finished_at: finished, ...rest }) => [
      undoneBy(id),
      { ...rest, started_at: started?.toISOString() ?? null, finished_at: finished?.toISOString() ?? null },
    ]),
  );
}
