/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { incomingEvents } from './assemble.ts';
import { createEventLog } from './event-log.ts';
import { eventLogRoutes } from './event-log-routes.ts';
import { createEventLogStore } from './event-log-store.ts';
import { incomingEventRoutes } from './routes.ts';
import { acceptSignedEvents } from './signed-events.ts';

export const api = featureApi([incomingEventRoutes, eventLogRoutes], (parts) => {
  const { config, pool, accept, expressions, limits, clock } = parts;
  const { inboundWebhookSecrets: secrets, bodyLimitBytes } = config;
  return {
    incoming: incomingEvents({ ...parts, texts: expressions }),
    eventLog: createEventLog({ log: createEventLogStore(pool), accept, stream: config.eventsStream?.name }),
    hooks: { before: acceptSignedEvents({ secrets, bodyLimitBytes, clock, limits }) },
  };
});
