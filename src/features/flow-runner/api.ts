/** What an API process has of it. */
import { type ApiParts, featureApi } from '../../feature.ts';
import { createFlowDefinitions } from './flow-definitions.ts';
import { createFlowMetrics } from './metrics.ts';
import type { FlowInbox, TakeFlowRun } from './ports.ts';
import { flowRunRoutes } from './routes.ts';
import { createFlowInbox, isRunIdTaken, UNLISTED } from './store.ts';
import { createTakeFlowRun } from './take-flow-run.ts';
import { createFindWebhook } from './webhooks.ts';

export const api = featureApi([flowRunRoutes], (parts) => {
  const { workflows, reader, links, newId } = parts;
  const inbox = createFlowInbox(parts.pool);
  const takeFlowRun = takeFlowRunOf(parts, inbox);
  const metrics = createFlowMetrics();
  const hooks = { registerMetrics: metrics.register };
  return { takeFlowRun, inbox, findWebhook: createFindWebhook(workflows), reader, links, newId, hooks };
});

/** The one use case, whichever way requests come. */
function takeFlowRunOf(parts: ApiParts, inbox: FlowInbox): TakeFlowRun {
  const { workflows, accept, catalogue: actionTypes } = parts;
  const definitions = createFlowDefinitions({ workflows, inbox, actionTypes, prefix: UNLISTED });
  return createTakeFlowRun({ inbox, definitions, workflows, accept, isTaken: isRunIdTaken });
}
