/**
 * The worker's part: where there is a transport, external tasks are published; where there is a Redis, it has the state of
 * flow runs for those who read it there.
 */
import type { FeatureWorker, WorkerPart, WorkerParts } from '../../feature.ts';
import { openRedisKeys } from '../../queue/redis-keys.ts';
import { taskOutboxOf } from './assemble.ts';
import { createPublishedStates } from './publish-state.ts';
import { createReadFlowRuns } from './state-store.ts';

export const worker: FeatureWorker = {
  open: (parts) => ({ ...taskOutboxOf(parts), ...publishedStatesOf(parts) }),
};

function publishedStatesOf({ pool, plans, config, log }: WorkerParts): WorkerPart {
  const { redis, encryptPayloads, flowRunner } = config;
  if (redis === undefined) return {};
  const keys = openRedisKeys(redis, log);
  const { statePrefix: prefix, stateTtlSeconds: ttlSeconds } = flowRunner;
  const read = createReadFlowRuns(pool, !encryptPayloads);
  const states = createPublishedStates({ read, plans, keys, prefix, ttlSeconds, log });
  return {
    onCommitted: states.committed,
    async close() {
      await states.drain();
      keys.close();
    },
  };
}
