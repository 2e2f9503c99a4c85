/** Which workflows a webhook may start: those that say so themselves. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { WorkflowStore } from '../../engine/ports/read-models.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';

/** The id of the workflow with that id or name. */
export type FindWebhook = (caller: Caller, webhookId: string) => Promise<string>;

export function createFindWebhook(workflows: Pick<WorkflowStore, 'resolve'>): FindWebhook {
  return async ({ tenantId }, webhookId) => {
    const workflow = await workflows.resolve(tenantId, webhookId);
    if (workflow?.definition.metadata?.['webhook'] === true) return workflow.id;
    throw new OrchestratorError('unknown_flow', `There is no flow with the webhook '${webhookId}'`);
  };
}
