/** What a process that adds runs to the queue remembers, so that the tenants take turns. */
import { turnOf, type WeightOf } from '../domain/fair-share.ts';

export interface Fairness {
  weightOf: WeightOf;
  turns: Turns;
  /** How far each tenant has come in the rounds of the dispatcher. */
  progress: ReadonlyMap<string, number>;
  /** Where the next look at the tenants that wait begins, when they are more than one look shows. */
  after: string;
}

export function createFairness(weightOf: WeightOf): Fairness {
  return { weightOf, turns: createTurns(weightOf), progress: new Map(), after: '' };
}

/**
 * The turns of the runs that this process adds, by how many runs their tenants have in the queue. While a tenant has any
 * there a turn is never lower than before: its older runs are not overtaken by its newer ones when the queue gets shorter.
 */
export interface Turns {
  /** Runs in the queue by tenant, as they were just counted. */
  seen(inQueue: ReadonlyMap<string, number>): void;
  /** The turn of the next run of this tenant, which is counted. */
  next(tenantId: string): number;
}

function createTurns(weightOf: WeightOf): Turns {
  let counts = new Map<string, number>();
  let peaks = new Map<string, number>();
  return {
    seen(inQueue) {
      counts = new Map(inQueue);
      peaks = new Map([...inQueue].map(([tenantId, count]) => [tenantId, Math.max(count, peaks.get(tenantId) ?? 0)]));
    },
    next(tenantId) {
      const count = counts.get(tenantId) ?? 0;
      const ahead = Math.max(count, peaks.get(tenantId) ?? 0);
      counts.set(tenantId, count + 1);
      peaks.set(tenantId, ahead);
      return turnOf(ahead, weightOf(tenantId));
    },
  };
}
