/** How the tenants take turns in this process: by weights that may be changed while it runs. */
import type pg from 'pg';
import type { Config } from '../config/config.ts';
import { createFairness, type Fairness } from '../engine/accept/fairness.ts';
import type { Logger } from '../engine/ports/logger.ts';
import type { TenantWeightStore } from '../engine/ports/tenant-weights.ts';
import { repeatUntil } from '../engine/recover/reconcile.ts';
import { createTenantWeightStore } from '../store/runs/tenant-weights.ts';

const READ_EVERY_MS = 2_000;

export interface LiveWeights {
  /** By tenant, what was set before what is configured; 1 for all others. Always the newest that was read. */
  weights: ReadonlyMap<string, number>;
  /** What is set over it holds in this process at once. */
  store: TenantWeightStore;
  /** Resolves when they were read for the first time, or could not be. */
  ready(): Promise<void>;
  /** Reads them now and then; while they cannot be read those of before hold. */
  watchUntil(signal: AbortSignal): Promise<void>;
}

export function liveWeights({ tenantWeights }: Config, pool: pg.Pool, log: Logger): LiveWeights {
  const store = createTenantWeightStore(pool);
  const weights = new Map(tenantWeights);
  async function read(): Promise<void> {
    const set = await store.all();
    for (const tenantId of weights.keys()) {
      if (!set.has(tenantId) && !tenantWeights.has(tenantId)) weights.delete(tenantId);
    }
    for (const [tenantId, weight] of [...tenantWeights, ...set]) weights.set(tenantId, weight);
  }
  return {
    weights,
    store: {
      ...store,
      async set(...given) {
        const weight = await store.set(...given);
        await read();
        return weight;
      },
      async remove(tenantId) {
        await store.remove(tenantId);
        await read();
      },
    },
    ready: () => read().catch(() => undefined),
    watchUntil: (signal) => repeatUntil({ signal, log }, READ_EVERY_MS, 'read_weights', read),
  };
}

export function fairnessOf({ weights }: Pick<LiveWeights, 'weights'>): Fairness {
  return createFairness((tenantId) => weights.get(tenantId) ?? 1);
}
