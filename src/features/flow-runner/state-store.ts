/** Reads flow runs for the document of their state. */
import type pg from 'pg';
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { Json } from '../../schemas/json.ts';
import { liveStatus } from '../../store/views/run-views.ts';
import type { StoredFlowRun } from './state.ts';

/** What is larger is left out of the document. */
const MAX_PAYLOAD_BYTES = 64 * 1024;

/** Undefined in the row where it is left out, and so not taken for null. */
const shown = (column: string, name: string) =>
  `$2 AND coalesce(octet_length(${column}::text) <= ${MAX_PAYLOAD_BYTES}, true) AS ${name}_shown,
   CASE WHEN $2 AND octet_length(${column}::text) <= ${MAX_PAYLOAD_BYTES} THEN ${column} END AS ${name}`;

const RUNS = `
SELECT r.id, h.flow_id, r.tenant_id, r.user_id, r.correlation_id, r.workflow_id, r.workflow_version, r.status, r.created_at,
  ${shown('r.parameters', 'parameters')}, ${shown('r.output', 'output')}, ${shown('r.execution_context', 'execution_context')},
  greatest(r.created_at, r.started_at, r.finished_at) AS changed_at
FROM run r JOIN flow_run h ON h.run_id = r.id AND h.tenant_id = r.tenant_id
WHERE r.id = ANY ($1::text[]) AND r.execution_context IS NOT NULL`;

const TASKS = `
SELECT run_id, action_id, status, final, attempt, updated_at FROM task WHERE run_id = ANY ($1::text[]) AND parent_id IS NULL`;

interface RunRecord {
  id: string;
  flow_id: string;
  tenant_id: string;
  user_id: string;
  correlation_id: string | null;
  workflow_id: string;
  workflow_version: number;
  status: RunStatus;
  created_at: Date;
  changed_at: Date;
  parameters: Json;
  parameters_shown: boolean;
  output: Json;
  output_shown: boolean;
  execution_context: Json;
  execution_context_shown: boolean;
}

interface TaskRecord {
  run_id: string;
  action_id: string;
  status: TaskStatus;
  final: boolean;
  attempt: number;
  updated_at: Date;
}

export type ReadFlowRuns = (runIds: readonly string[]) => Promise<StoredFlowRun[]>;

/** `payloads`: whether inputs and outputs may be shown at all. */
export function createReadFlowRuns(pool: pg.Pool, payloads: boolean): ReadFlowRuns {
  return async (runIds) => {
    // The run before its tasks: one that is seen as ended has all of its tasks.
    const runs = await pool.query<RunRecord>({ name: 'flow-run-states', text: RUNS, values: [runIds, payloads] });
    const tasks = await pool.query<TaskRecord>({ name: 'flow-task-states', text: TASKS, values: [runIds] });
    const byRun = new Map<string, TaskRecord[]>();
    for (const task of tasks.rows) byRun.set(task.run_id, [...(byRun.get(task.run_id) ?? []), task]);
    return runs.rows.map((row) => storedOf(row, byRun.get(row.id) ?? []));
  };
}

function storedOf(row: RunRecord, tasks: readonly TaskRecord[]): StoredFlowRun {
  const times = tasks.map((task) => task.updated_at.getTime());
  const updatedMs = times.reduce((newest, time) => Math.max(newest, time), row.changed_at.getTime());
  return {
    runId: row.id,
    flowId: row.flow_id,
    tenantId: row.tenant_id,
    userId: row.user_id,
    correlationId: row.correlation_id,
    workflowId: row.workflow_id,
    workflowVersion: row.workflow_version,
    status: liveStatus(row.status, tasks.length > 0),
    input: row.parameters_shown ? row.parameters : undefined,
    output: row.output_shown ? row.output : undefined,
    executionContext: row.execution_context_shown ? row.execution_context : undefined,
    createdAt: row.created_at,
    updatedAt: new Date(updatedMs),
    tasks: tasks.map(({ action_id: id, status, final, attempt }) => ({ id, status, final, attempt })),
  };
}
