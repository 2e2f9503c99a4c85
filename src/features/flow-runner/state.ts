/** The state of a flow run as one document, for those who read it in Redis. */
import type { Plan } from '../../domain/graph/plan.ts';
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { FLOW_RUN_STATUSES, FLOW_TASK_STATUSES } from './domain.ts';

/** A run as it is stored. Payloads that are not to be shown are undefined. */
export interface StoredFlowRun {
  runId: string;
  flowId: string;
  tenantId: string;
  userId: string;
  correlationId: string | null;
  workflowId: string;
  workflowVersion: number;
  status: RunStatus;
  input: Json | undefined;
  output: Json | undefined;
  executionContext: Json | undefined;
  createdAt: Date;
  updatedAt: Date;
  tasks: ReadonlyArray<{ id: string; status: TaskStatus; final: boolean; attempt: number }>;
}

export function stateOf(run: StoredFlowRun, plan: Plan): JsonObject {
  const byId = new Map(run.tasks.map((task) => [task.id, task]));
  const ids = plan.actions.map(({ action }) => action.action_id);
  const statusOf = (id: string) => FLOW_TASK_STATUSES[byId.get(id)?.status ?? 'pending'];
  const isFinal = (id: string) => byId.get(id)?.final === true;
  const ended = ids.filter(isFinal);
  const ready = plan.actions.filter(
    ({ action }) => statusOf(action.action_id) === 'PENDING' && action.depends_on.every(isFinal),
  );
  const readyIds = new Set(ready.map(({ action }) => action.action_id));
  return {
    run_id: run.runId,
    flow_id: run.flowId,
    tenant_id: run.tenantId,
    user_id: run.userId,
    correlation_id: run.correlationId ?? run.runId,
    status: FLOW_RUN_STATUSES[run.status],
    tasks: Object.fromEntries(ids.map((id) => [id, readyIds.has(id) ? 'READY' : statusOf(id)])),
    completed_tasks: ended.filter((id) => statusOf(id) === 'COMPLETED'),
    failed_tasks: ended.filter((id) => statusOf(id) !== 'COMPLETED'),
    ready_tasks: [...readyIds],
    ...(run.input === undefined ? {} : { input_data: run.input }),
    ...(run.output === undefined ? {} : { output_data: run.output }),
    ...(run.executionContext === undefined ? {} : { execution_context: run.executionContext }),
    task_attempts: Object.fromEntries(ids.map((id) => [id, byId.get(id)?.attempt ?? 0])),
    max_retries: Object.fromEntries(
      plan.actions.map(({ action }) => [action.action_id, action.retry.max_attempts - 1]),
    ),
    created_at: run.createdAt.toISOString(),
    updated_at: run.updatedAt.toISOString(),
  };
}
