/** What an API process has of it: without an engine it looks at no request. */
import type { FeatureApi } from '../../feature.ts';
import { createPolicyClient } from './assemble.ts';
import { askBeforeChange } from './before-change.ts';
import { countPolicyDecisions } from './metrics.ts';

export const api: FeatureApi = {
  endpoints: [],
  open({ config, egress, audit, log }) {
    const { count, register: registerMetrics } = countPolicyDecisions();
    const init = { config, fetch: egress.fetch, log, now: () => performance.now(), audit, count };
    const client = createPolicyClient(init);
    return {
      endpoints: [],
      registerMetrics,
      ...(client && { beforeChange: askBeforeChange(client, config.policy.scope) }),
    };
  },
};
