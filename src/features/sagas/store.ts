/** Reads sagas for the doors. How many there are is counted by an index that has nothing else, over a bounded stretch of it. */
import type pg from 'pg';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import { SAGA } from '../../domain/runs/saga.ts';
import { storedMessage } from '../../domain/texts/error-message.ts';
import type { Definitions } from '../../engine/ports/definitions.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json } from '../../schemas/json.ts';
import { definitionRef } from '../../store/runs/run-row.ts';
import type { SagaReader } from './ports.ts';
import type { SagaStats } from './schemas.ts';
import { type StepRow, stepsOf } from './steps.ts';

const MAX_COUNTED = 50_000;

export const SAGA_STATS = `
WITH recent AS MATERIALIZED (
  SELECT status, final, created_at, finished_at FROM run
  WHERE tenant_id = $1 AND saga AND created_at >= now() - make_interval(hours => $2::int)
  ORDER BY created_at DESC, id DESC LIMIT ${MAX_COUNTED}
)
SELECT count(*)::int AS total, (count(*) FILTER (WHERE NOT final))::int AS active,
  (count(*) FILTER (WHERE status = 'completed'))::int AS completed,
  (count(*) FILTER (WHERE status = 'compensated'))::int AS compensated,
  coalesce(avg(extract(epoch FROM finished_at - created_at)) FILTER (WHERE status = 'completed'), 0)::float8 AS seconds,
  min(created_at) AS since
FROM recent`;

const RUN = `
SELECT id, workflow_id, workflow_version, inline, saga, status, error, correlation_id, created_at, finished_at
FROM run WHERE tenant_id = $1 AND id = $2`;

const STEPS = `
SELECT action_id, action_type, status, greatest(attempt, ended_attempt) AS attempts, error, started_at, finished_at
FROM task WHERE run_id = $1 AND (parent_id IS NULL OR parent_id = '${SAGA}')`;

interface RawSaga {
  id: string;
  workflow_id: string | null;
  workflow_version: number | null;
  inline: DefinitionRef | null;
  saga: boolean | null;
  status: RunStatus;
  error: Json;
  correlation_id: string | null;
  created_at: Date;
  finished_at: Date | null;
}
interface RawStats {
  total: number;
  active: number;
  completed: number;
  compensated: number;
  seconds: number;
  since: Date | null;
}

export function createSagaReader(pool: pg.Pool, definitions: Definitions): SagaReader {
  return {
    async stats(tenantId, hours) {
      const { rows } = await pool.query<RawStats>(SAGA_STATS, [tenantId, hours]);
      return rows[0] === undefined ? toStats(NONE) : toStats(rows[0]);
    },
    async find(tenantId, runId) {
      const { rows } = await pool.query<RawSaga>(RUN, [tenantId, runId]);
      const [run] = rows;
      if (run === undefined) return undefined;
      const definition = await definitions.load(definitionRef(run));
      if (run.saga !== true && definition.actions.every(({ compensate }) => compensate === undefined)) return undefined;
      const steps = await pool.query<StepRow>(STEPS, [runId]);
      return {
        saga_id: run.id,
        correlation_id: run.correlation_id,
        status: run.status,
        steps: stepsOf(definition, steps.rows),
        created_at: run.created_at.toISOString(),
        completed_at: run.finished_at?.toISOString() ?? null,
        error_message: storedMessage(run.error) ?? null,
      };
    },
  };
}

const NONE: RawStats = { total: 0, active: 0, completed: 0, compensated: 0, seconds: 0, since: null };

function toStats({ total, active, completed, compensated, seconds, since }: RawStats): SagaStats {
  return {
    total_sagas: total,
    active_sagas: active,
    completed_sagas: completed,
    failed_sagas: total - active - completed - compensated,
    compensated_sagas: compensated,
    avg_completion_time: Math.round(seconds * 1000) / 1000,
    since: since?.toISOString() ?? null,
  };
}
