/** What an API process has of it. */
import { randomUUID } from 'node:crypto';
import { createKeyring } from '../../engine/keyring.ts';
import { featureApi } from '../../feature.ts';
import type { SessionClients } from './clients.ts';
import { createReadSession } from './read-session.ts';
import { sessionRoutes } from './routes.ts';
import { createStartSession } from './start-session.ts';
import { createSessionStore } from './store.ts';

export function apiWith(clients: SessionClients) {
  return featureApi([sessionRoutes], (parts) => {
    const { config, pool, system, reader } = parts;
    const sessions = createSessionStore(pool);
    return {
      read: createReadSession({ sessions, reader }),
      start: createStartSession({
        policy: clients.policy(parts),
        ...{ sessions, system },
        keyring: createKeyring(config.secretKeys),
        ttlSeconds: config.sessionTtlSeconds,
        newId: randomUUID,
      }),
      taskQueue: config.sessionTaskQueue,
    };
  });
}
