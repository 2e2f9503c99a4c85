/** The worker's part: it sends peers the services that there are. */
import type { FeatureWorker } from '../../feature.ts';
import { runPeers } from './assemble.ts';

export const worker: FeatureWorker = {
  open: ({ config, pool, fetch, now, log }) => ({
    work: (signal) => runPeers(config, { pool, fetch, now: () => new Date(now()), log }, signal),
  }),
};
