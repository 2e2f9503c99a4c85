/** What an API process has of it. */
import { randomUUID } from 'node:crypto';
import { createRetryRuns } from '../../engine/control/retry-run.ts';
import { createKeyring } from '../../engine/keyring.ts';
import type { RetryRuns } from '../../engine/ports/use-cases.ts';
import { type ApiParts, featureApi } from '../../feature.ts';
import { approvalsOf } from '../approvals/assemble.ts';
import { countPolicyDecisions } from '../policy/metrics.ts';
import { signalsOf } from '../signals/assemble.ts';
import { sessionActionRoutes } from './action-routes.ts';
import type { SessionClients } from './clients.ts';
import { createControlSession } from './control-session.ts';
import { createMao } from './mao.ts';
import { maoRoutes } from './mao-routes.ts';
import { createReadSession } from './read-session.ts';
import { sessionRoutes } from './routes.ts';
import { createStartSession } from './start-session.ts';
import { createSessionStore } from './store.ts';

export function apiWith(clients: SessionClients) {
  return featureApi([sessionRoutes, sessionActionRoutes, maoRoutes], (parts) => {
    const { config, pool, system, reader, cancel, pause } = parts;
    const sessions = createSessionStore(pool);
    const { count, register: registerMetrics } = countPolicyDecisions();
    const policy = clients.policy(parts, count);
    const ttlSeconds = config.sessionTtlSeconds;
    const keyring = createKeyring(config.secretKeys);
    const read = createReadSession({ sessions, reader });
    return {
      read,
      start: createStartSession({
        ...{ policy, sessions, system, keyring, ttlSeconds, newId: randomUUID },
        hasJobs: config.kubernetes.enabled,
      }),
      act: createControlSession({
        ...{ sessions, cancel, pause, policy, reader, ttlSeconds },
        find: read.find,
        retry: retryWithin(parts),
        approvals: approvalsOf(parts),
        signals: signalsOf({ ...parts, texts: parts.expressions }),
      }),
      mao: createMao({ policy, system, reader, sessions, newId: randomUUID }),
      taskQueue: config.sessionTaskQueue,
      hooks: { registerMetrics },
    };
  });
}

/** A retry gives an open session its time again, which its definition does not say. */
function retryWithin({ reopening }: ApiParts): (ttlSeconds: number | undefined) => RetryRuns {
  return (timeoutSeconds) =>
    createRetryRuns({
      ...reopening,
      retries: { reopen: (retry) => reopening.retries.reopen({ ...retry, timeoutSeconds }) },
    });
}
