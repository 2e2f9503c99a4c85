/** How the tenants take turns in this process. */
import type { Config } from '../config.ts';
import { createFairness, type Fairness } from '../engine/fairness.ts';

export function fairnessOf({ tenantWeights }: Config): Fairness {
  return createFairness((tenantId) => tenantWeights.get(tenantId) ?? 1);
}
