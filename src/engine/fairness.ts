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
 * The turns of the runs that this process adds: how many of a tenant's runs were added since that tenant last had none in
 * the queue. It only grows until then, so that a tenant's own runs stay in order.
 */
export interface Turns {
  /** Runs in the queue by tenant, as they were just counted. */
  seen(inQueue: ReadonlyMap<string, number>): void;
  /** The turn of the next run of this tenant. */
  next(tenantId: string): number;
}

function createTurns(weightOf: WeightOf): Turns {
  const added = new Map<string, number>();
  return {
    seen(inQueue) {
      for (const tenantId of added.keys()) if ((inQueue.get(tenantId) ?? 0) === 0) added.delete(tenantId);
      // Other processes add as well.
      for (const [tenantId, count] of inQueue) added.set(tenantId, Math.max(count, added.get(tenantId) ?? 0));
    },
    next(tenantId) {
      const nth = added.get(tenantId) ?? 0;
      added.set(tenantId, nth + 1);
      return turnOf(nth, weightOf(tenantId));
    },
  };
}
