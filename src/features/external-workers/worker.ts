/** What a worker has of it: the adapter of external tasks opens them. */
import type { FeatureWorker } from '../../feature.ts';
import { createExternalAttempts } from './attempt-store.ts';
import { externalAttempts } from './lease-tasks.ts';

export const worker: FeatureWorker = {
  open({ config, pool, outbox }) {
    const external = externalAttempts(createExternalAttempts(pool, outbox), config.maxOutputBytes, outbox);
    return { capabilities: (call) => ({ external: external(call) }) };
  },
};
