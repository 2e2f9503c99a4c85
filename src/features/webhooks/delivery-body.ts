/** The bodies of deliveries. Each is the same for every try: it is made of rows that never change. */
import type { DueDelivery, EndOfRun, WebhookDeliveryStore } from './ports.ts';

/** Undefined: the run was started again, and sends its next end. */
export async function bodyOf(
  deliveries: Pick<WebhookDeliveryStore, 'endOf'>,
  delivery: DueDelivery,
): Promise<object | undefined> {
  if (delivery.webhookId !== null) return bodyOfEvent(delivery);
  const run = await deliveries.endOf(delivery);
  return run && bodyOfCallback(run);
}

function bodyOfEvent(delivery: DueDelivery): object {
  const { kind, at, runId, workflowId, correlationId, actionId, epoch, attempt, data } = delivery;
  const timestamp = at.toISOString();
  if (runId === null) return { type: kind, timestamp, data: {} };
  return {
    type: kind,
    timestamp,
    data: {
      execution_id: runId,
      workflow_id: workflowId,
      correlation_id: correlationId,
      action_id: actionId,
      epoch,
      attempt,
      details: data,
    },
  };
}

function bodyOfCallback(run: EndOfRun): object {
  const { id, workflowId, workflowVersion, finishedAt } = run;
  return {
    ...(workflowId === null
      ? { task_id: id }
      : { execution_id: id, workflow_id: workflowId, workflow_version: workflowVersion }),
    status: run.status,
    result: run.output,
    error: run.error,
    correlation_id: run.correlationId,
    created_at: run.createdAt.toISOString(),
    finished_at: finishedAt?.toISOString() ?? null,
  };
}
