/** The worker's part: its port takes the tokens that the API takes. */
import type { FeatureWorker } from '../../feature.ts';
import { createIdentityClient } from './assemble.ts';
import { countVerifications } from './metrics.ts';

export const worker: FeatureWorker = {
  open({ config, fetch, log }) {
    const { count, register: registerMetrics } = countVerifications();
    const client = createIdentityClient({ config, fetch, log, count });
    return { registerMetrics, ...(client && { tokens: client.verify }) };
  },
};
