/** What an API process has of it. */
import type { FeatureApi } from '../../feature.ts';
import { createIdentityClient } from './assemble.ts';
import { countVerifications } from './metrics.ts';

export const api: FeatureApi = {
  endpoints: [],
  open({ config, egress, log }) {
    const { count, register: registerMetrics } = countVerifications();
    const client = createIdentityClient({ config, fetch: egress.fetch, log, count });
    return { endpoints: [], registerMetrics, ...(client && { tokens: client.verify }) };
  },
};
