/** What an API process has of it. */
import { type ApiParts, featureApi } from '../../feature.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { exchangeOf } from './assemble.ts';
import { createFlowDefinitions } from './flow-definitions.ts';
import { flowRunHandler } from './messages/flow-run-handler.ts';
import { createFlowMetrics } from './metrics.ts';
import { OUTBOX_CHANNEL } from './outbox/append.ts';
import { createOutboxStore } from './outbox/outbox-store.ts';
import { createRejectedMessages } from './poison/rejected-messages.ts';
import type { FlowInbox, TakeFlowRun } from './ports.ts';
import { createIsPublished, type IsPublished, withPublishedHandlers } from './published-handlers.ts';
import { flowRunRoutes } from './routes.ts';
import { createFlowInbox, isRunIdTaken, UNLISTED } from './store.ts';
import { createTakeFlowRun } from './take-flow-run.ts';
import { taskInputRoutes } from './task-input-routes.ts';
import { createTaskInputs } from './task-inputs-store.ts';
import { createFindWebhook } from './webhooks.ts';

export const api = featureApi([flowRunRoutes, taskInputRoutes], (parts) => {
  const { workflows, reader, links, newId, config } = parts;
  const inbox = createFlowInbox(parts.pool);
  const isPublished = isPublishedOf(parts);
  const takeFlowRun = takeFlowRunOf(parts, inbox, isPublished);
  const outbox = createOutboxStore(parts.everyTenant);
  const isOn = config.transport !== undefined;
  const metrics = createFlowMetrics(
    isOn ? { lag: () => exchange.lag(), outboxAgeSeconds: outbox.ageSeconds } : undefined,
  );
  const exchange = exchangeOf(parts, metrics, outbox, [
    [config.flowTransport.runs, flowRunHandler({ parts, takeFlowRun, metrics })],
  ]);
  const hooks = {
    registerMetrics: metrics.register,
    translate: translatorOf(parts, isPublished),
    rejectedMessages: createRejectedMessages(parts.pool),
    ...(isOn ? { work: exchange.work, channels: { [OUTBOX_CHANNEL]: exchange.wake }, onGap: exchange.wake } : {}),
  };
  const taskInputs = createTaskInputs(parts.pool);
  return { takeFlowRun, inbox, findWebhook: createFindWebhook(workflows), reader, links, newId, taskInputs, hooks };
});

/** The one use case, whichever way requests come. */
function takeFlowRunOf(parts: ApiParts, inbox: FlowInbox, isPublished: IsPublished): TakeFlowRun {
  const { workflows, accept, catalogue: actionTypes, failpoint } = parts;
  const definitions = createFlowDefinitions({ workflows, inbox, actionTypes, isPublished, prefix: UNLISTED });
  return createTakeFlowRun({ inbox, definitions, workflows, accept, isTaken: isRunIdTaken, failpoint });
}

/** Without a transport nothing is published. */
function isPublishedOf({ config, catalogue }: ApiParts): IsPublished {
  if (config.transport === undefined) return () => false;
  return createIsPublished({ canonical: catalogue.canonical, handlers: config.kafka.handlers });
}

function translatorOf({ log, catalogue }: ApiParts, isPublished: IsPublished) {
  return (written: JsonObject): JsonObject => {
    const { definition, near } = withPublishedHandlers(written, isPublished, catalogue.names());
    if (near.length > 0)
      log.warn('handlers are published whose names are close to those of adapters', { handlers: near });
    return definition;
  };
}
