/** The state of a run in few words; neither inputs nor outputs are read for it. */
import type pg from 'pg';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { TaskState, TaskStates } from '../../engine/deliver/task-states.ts';
import type { Definitions } from '../../engine/ports/definitions.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json } from '../../schemas/json.ts';
import { definitionRef } from '../runs/run-row.ts';
import { resultWord } from './run-views.ts';

const STATE = `
SELECT r.id, r.workflow_id, r.workflow_version, r.inline, r.status, r.final, r.error, r.cancel_reason, t.started, t.final_ones, p.percent, p.message,
  coalesce(r.finished_at, greatest(p.at, t.updated_at, r.started_at, r.created_at)) AS at
FROM run r
CROSS JOIN LATERAL (
  SELECT (count(*) FILTER (WHERE final))::int AS final_ones, coalesce(bool_or(epoch = r.epoch AND status <> 'pending'), false) AS started,
    max(updated_at) AS updated_at
  FROM task WHERE run_id = r.id
) t
LEFT JOIN LATERAL (
  SELECT percent, message, at FROM task_report WHERE run_id = r.id AND epoch = r.epoch ORDER BY at DESC LIMIT 1
) p ON true
WHERE r.tenant_id = $1 AND r.id = $2`;

interface RawState {
  id: string;
  workflow_id: string | null;
  workflow_version: number | null;
  inline: DefinitionRef | null;
  status: RunStatus;
  final: boolean;
  error: Json;
  cancel_reason: string | null;
  started: boolean;
  final_ones: number;
  percent: number | null;
  message: string | null;
  at: Date;
}

export function createTaskStates(pool: pg.Pool, definitions: Definitions): TaskStates {
  return {
    async read(tenantId, runId): Promise<TaskState | undefined> {
      const { rows } = await pool.query<RawState>({ name: 'task-state', text: STATE, values: [tenantId, runId] });
      const row = rows[0];
      if (row === undefined) return undefined;
      const { status, message } = resultWord(row);
      return {
        status,
        final: row.final,
        progress: status === 'completed' ? 100 : await progressOf(row),
        message: message ?? row.message,
        at: row.at,
      };
    },
  };

  async function progressOf(row: RawState): Promise<number | null> {
    if (row.workflow_id === null) return row.percent;
    const { actions } = await definitions.load(definitionRef(row));
    return Math.floor((row.final_ones / Math.max(1, actions.length)) * 1000) / 10;
  }
}
