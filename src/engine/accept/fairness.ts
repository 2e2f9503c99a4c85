/** What a process that adds runs to the queue remembers, so that each tenant gets its fair share. */
import { isLight, MAX_RANK, rankOf, type WeightOf } from '../../domain/fairness/fair-share.ts';
import { createRecentUse } from '../../domain/fairness/recent-use.ts';

export interface Fairness {
  weightOf: WeightOf;
  ranks: FairShareRanks;
  /** How far each tenant has come in the rounds of the dispatcher. */
  progress: ReadonlyMap<string, number>;
  /** Where the next query for tenants that wait starts, when they are more than one query returns. */
  after: string;
}

export function createFairness(weightOf: WeightOf): Fairness {
  return { weightOf, ranks: createRanks(weightOf), progress: new Map(), after: '' };
}

/**
 * The fair-share ranks of the runs that this process adds. A tenant that had less than half of its fair share of what was
 * added lately is ranked by how many runs it has in the queue; every other one has the last rank, in which runs go in the
 * order of their adding. Those ranked first have less than half of all together, so nobody waits for ever behind them. While
 * a tenant has any runs there its rank never falls: its newer runs do not overtake its older ones when the queue gets shorter.
 */
export interface FairShareRanks {
  /** Runs in the queue by tenant, as they were just counted. */
  seen(inQueue: ReadonlyMap<string, number>): void;
  /** The rank of the next run of this tenant, which is counted. */
  next(tenantId: string): number;
}

function createRanks(weightOf: WeightOf): FairShareRanks {
  let counts = new Map<string, number>();
  let peaks = new Map<string, number>();
  let heavy = new Set<string>();
  let weights = 0;
  const recent = createRecentUse();
  return {
    seen(inQueue) {
      counts = new Map(inQueue);
      peaks = new Map([...inQueue].map(([tenantId, count]) => [tenantId, Math.max(count, peaks.get(tenantId) ?? 0)]));
      heavy = new Set([...heavy].filter((tenantId) => inQueue.has(tenantId)));
      weights = [...inQueue.keys()].reduce((sum, tenantId) => sum + weightOf(tenantId), 0);
    },
    next(tenantId) {
      const weight = weightOf(tenantId);
      const count = counts.get(tenantId);
      if (count === undefined) weights += weight;
      const ahead = Math.max(count ?? 0, peaks.get(tenantId) ?? 0);
      counts.set(tenantId, (count ?? 0) + 1);
      peaks.set(tenantId, ahead);
      if (!isLight(recent.of(tenantId), recent.total(), weight / weights)) heavy.add(tenantId);
      recent.add(tenantId);
      return heavy.has(tenantId) ? MAX_RANK : rankOf(ahead, weight);
    },
  };
}
