/** What an API process has of it. */
import { type ApiParts, featureApi } from '../../feature.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { createFlowDefinitions } from './flow-definitions.ts';
import { consumeFlowRuns } from './messages/consume-flow-runs.ts';
import { flowRunHandler } from './messages/flow-run-handler.ts';
import { createFlowMetrics } from './metrics.ts';
import { createRejectedMessages } from './poison/rejected-messages.ts';
import type { FlowInbox, TakeFlowRun } from './ports.ts';
import { createIsPublished, type IsPublished, withPublishedHandlers } from './published-handlers.ts';
import { flowRunRoutes } from './routes.ts';
import { createFlowInbox, isRunIdTaken, UNLISTED } from './store.ts';
import { createTakeFlowRun } from './take-flow-run.ts';
import { openTransport } from './transport/open-transport.ts';
import type { Transport } from './transport/ports.ts';
import { createFindWebhook } from './webhooks.ts';

export const api = featureApi([flowRunRoutes], (parts) => {
  const { config, log, workflows, reader, links, newId } = parts;
  const inbox = createFlowInbox(parts.pool);
  const isPublished = isPublishedOf(parts);
  const takeFlowRun = takeFlowRunOf(parts, inbox, isPublished);
  let transport: Transport | undefined;
  const { runs, done, failed } = config.flowTransport;
  const metrics = createFlowMetrics({
    lag: async () => (await transport?.lag(config.kafka.group, [runs, done, failed])) ?? [],
    outboxAgeSeconds: () => Promise.resolve(undefined),
  });
  const hooks = {
    registerMetrics: metrics.register,
    translate: translatorOf(parts, isPublished),
    rejectedMessages: createRejectedMessages(parts.pool),
    async work(signal: AbortSignal) {
      transport = await openTransport(config, log);
      if (transport === undefined) return;
      const handle = flowRunHandler({ parts, takeFlowRun, metrics });
      await consumeFlowRuns({ config, log, handle }, transport, signal);
    },
  };
  return { takeFlowRun, inbox, findWebhook: createFindWebhook(workflows), reader, links, newId, hooks };
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
