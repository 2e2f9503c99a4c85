/** What an API process has of it. */
import { type ApiParts, featureApi } from '../../feature.ts';
import { exchangeOf } from './assemble.ts';
import { createFlowDefinitions } from './flow-definitions.ts';
import { createFlowMetrics } from './metrics.ts';
import { OUTBOX_CHANNEL } from './outbox/append.ts';
import { createOutboxStore } from './outbox/outbox-store.ts';
import type { FlowInbox, TakeFlowRun } from './ports.ts';
import { flowRunRoutes } from './routes.ts';
import { createFlowInbox, isRunIdTaken, UNLISTED } from './store.ts';
import { createTakeFlowRun } from './take-flow-run.ts';
import { taskInputRoutes } from './task-input-routes.ts';
import { createTaskInputs } from './task-inputs-store.ts';
import { createFindWebhook } from './webhooks.ts';

export const api = featureApi([flowRunRoutes, taskInputRoutes], (parts) => {
  const { workflows, reader, links, newId, config } = parts;
  const inbox = createFlowInbox(parts.pool);
  const takeFlowRun = takeFlowRunOf(parts, inbox);
  const outbox = createOutboxStore(parts.everyTenant);
  const isOn = config.transport !== undefined;
  const metrics = createFlowMetrics(
    isOn ? { lag: () => exchange.lag(), outboxAgeSeconds: outbox.ageSeconds } : undefined,
  );
  const exchange = exchangeOf(parts, metrics, outbox);
  const hooks = {
    registerMetrics: metrics.register,
    ...(isOn ? { work: exchange.work, channels: { [OUTBOX_CHANNEL]: exchange.wake }, onGap: exchange.wake } : {}),
  };
  const taskInputs = createTaskInputs(parts.pool);
  return { takeFlowRun, inbox, findWebhook: createFindWebhook(workflows), reader, links, newId, taskInputs, hooks };
});

/** The one use case, whichever way requests come. */
function takeFlowRunOf(parts: ApiParts, inbox: FlowInbox): TakeFlowRun {
  const { workflows, accept, catalogue: actionTypes } = parts;
  const definitions = createFlowDefinitions({ workflows, inbox, actionTypes, prefix: UNLISTED });
  return createTakeFlowRun({ inbox, definitions, workflows, accept, isTaken: isRunIdTaken });
}
