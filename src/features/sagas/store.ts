/** Reads sagas for the API. How many there are is counted by an index that has nothing else, over a bounded stretch of it. */
import type pg from 'pg';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import { SAGA } from '../../domain/runs/saga.ts';
import type { Definitions } from '../../engine/ports/definitions.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json } from '../../schemas/json.ts';
import { definitionRef } from '../../store/runs/run-row.ts';
import type { SagaCounts, SagaReader } from './ports.ts';
import type { StepRow } from './steps.ts';

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
  coalesce(avg(extract(epoch FROM finished_at - created_at)) FILTER (WHERE status = 'completed'), 0)::float8 AS "averageSeconds",
  min(created_at) AS since
FROM recent`;

const RUN = `
SELECT id, workflow_id, workflow_version, inline, saga, status, error, correlation_id, created_at, finished_at
FROM run WHERE tenant_id = $1 AND id = $2`;

const STEPS = `
SELECT action_id AS "actionId", status, greatest(attempt, ended_attempt) AS attempts, error, started_at AS "startedAt", finished_at AS "finishedAt"
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
const NONE: SagaCounts = { total: 0, active: 0, completed: 0, compensated: 0, averageSeconds: 0, since: null };

export function createSagaReader(pool: pg.Pool, definitions: Definitions): SagaReader {
  return {
    async stats(tenantId, hours) {
      const { rows } = await pool.query<SagaCounts>(SAGA_STATS, [tenantId, hours]);
      return rows[0] ?? NONE;
    },
    async find(tenantId, runId) {
      const { rows } = await pool.query<RawSaga>(RUN, [tenantId, runId]);
      const [run] = rows;
      if (run === undefined) return undefined;
      const definition = await definitions.load(definitionRef(run));
      if (run.saga !== true && definition.actions.every(({ compensate }) => compensate === undefined)) return undefined;
      const steps = await pool.query<StepRow>(STEPS, [runId]);
      return {
        id: run.id,
        correlationId: run.correlation_id,
        status: run.status,
        error: run.error,
        createdAt: run.created_at,
        finishedAt: run.finished_at,
        definition,
        steps: steps.rows,
      };
    },
  };
}
