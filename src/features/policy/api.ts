/** What an API process has of it: where nothing but sessions is asked about, it looks at no request. */
import type { FeatureApi } from '../../feature.ts';
import { createPolicyClient } from './assemble.ts';
import { askBeforeChange } from './before-change.ts';
import { countPolicyDecisions } from './metrics.ts';

export const api: FeatureApi = {
  endpoints: [],
  open({ config, egress, audit, log }) {
    const { count, register: registerMetrics } = countPolicyDecisions();
    const init = { config, fetch: egress.fetch, log, now: () => performance.now(), audit, count };
    const client = config.policy.scope === 'all' ? createPolicyClient(init) : undefined;
    return { endpoints: [], registerMetrics, ...(client && { beforeChange: askBeforeChange(client) }) };
  },
};
