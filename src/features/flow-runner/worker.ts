/**
 * The worker's part: where there is a transport, external tasks are published; where there is a Redis, it has the state of
 * flow runs for those who read it there. What messages have left behind is removed in time.
 */
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker, WorkerPart, WorkerParts } from '../../feature.ts';
import { openRedisKeys } from '../../queue/redis-keys.ts';
import { taskOutboxOf } from './assemble.ts';
import { createPublishedStates } from './publish-state.ts';
import { removeOldMessages } from './retention.ts';
import { createReadFlowRuns } from './state-store.ts';

const REMOVE_EVERY_MS = 60_000;
const REMOVED_AT_ONCE = 500;

export const worker: FeatureWorker = {
  open: (parts) => ({ ...taskOutboxOf(parts), ...publishedStatesOf(parts), ...retentionOf(parts) }),
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

function retentionOf({ pool, config: { retentionDays }, log }: WorkerParts): WorkerPart {
  if (retentionDays === 0) return {};
  const remove = () => removeOldMessages(pool, retentionDays, REMOVED_AT_ONCE);
  return { work: (signal) => repeatUntil({ signal, log }, REMOVE_EVERY_MS, 'remove_old_messages', remove) };
}
