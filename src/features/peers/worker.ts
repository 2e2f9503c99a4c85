/** What a worker has of it: it tells peers which services there are. */
import type { FeatureWorker } from '../../feature.ts';
import { runPeers } from './assemble.ts';

export const worker: FeatureWorker = {
  open: ({ config, pool, fetch, now, log }) => ({
    work: (signal) => runPeers(config, { pool, fetch, now: () => new Date(now()), log }, signal),
  }),
};
