/**
 * The share of each tenant in the admission window, and the rank of its runs inside of it. The window is what BullMQ has; what
 * does not fit waits in PostgreSQL, by tenant. docs/decisions has why it is shared in this way.
 */
export interface WindowUse {
  /** Runs in the queue, by tenant. */
  inQueue: ReadonlyMap<string, number>;
  /** The sum of these. */
  total: number;
  /** Tenants with runs that wait for room. */
  waiting: readonly string[];
}

/** A tenant's weight, against 1 for all that are not named. */
export type WeightOf = (tenantId: string) => number;

/** The last one: there a tenant's runs go in the order of their adding, with those of others that had their share. */
export const MAX_RANK = 20;
/** Reserved for tenants that have less than their share when others have filled the window. */
const RESERVE = 0.1;
/** Below that there is room for all, whoever waits. */
const TIGHT = 0.5;

/**
 * The fair-share rank of a run whose tenant has `ahead` runs in the queue: the first few of every tenant come before
 * the many of any. One rank more for twice as many: runs of one rank go in the order of their adding.
 */
export function rankOf(ahead: number, weight: number): number {
  return Math.min(MAX_RANK, Math.floor(Math.log2(1 + ahead / weight)));
}

/**
 * Whether the rank of a tenant counts at all: of the newest runs it had less than half of its fair `share` (0 to 1). Together
 * those have less than half of everything, so the others are not kept waiting for ever by tenants that always have a few
 * runs in the queue. The very first run is nobody's burden.
 */
export function isLight(used: number, usedByAll: number, share: number): boolean {
  return used < (usedByAll * share) / 2 || usedByAll === 0;
}

/** How many runs an API process may add for this tenant, past those that wait. */
export function roomForNewRuns(window: number, use: WindowUse, tenantId: string, weightOf: WeightOf): number {
  const { total } = use;
  if (use.waiting.length === 0 || total < window * TIGHT) return window - total;
  // Its own runs that wait go first; the dispatcher has all of them in view.
  if (use.waiting.includes(tenantId)) return 0;
  const share = shareOf(window, new Set([...activeIn(use), tenantId]), tenantId, weightOf);
  return Math.min(withReserve(window) - total, share - (use.inQueue.get(tenantId) ?? 0));
}

export interface Grants {
  /** How many runs of each tenant are to be added. */
  grants: Map<string, number>;
  /** The tenant of each of these slots, in the order in which they were assigned. */
  order: string[];
  /** How far each tenant that waits has come, for the next time: runs by weight, above who is the farthest behind. */
  progress: Map<string, number>;
}

/**
 * Shares `most` slots among the tenants that wait. Each slot goes to the tenant that has come the least far, runs counted
 * by weight. A tenant that has its share of the window already gets nothing as long as another that waits has less than its
 * own.
 */
export function shareOut(
  window: number,
  most: number,
  use: WindowUse,
  { weightOf, progress: before = new Map() }: { weightOf: WeightOf; progress?: ReadonlyMap<string, number> },
): Grants {
  const active = activeIn(use);
  const tenants = use.waiting.map((id) => {
    const share = shareOf(window, active, id, weightOf);
    const toShare = Math.max(0, share - (use.inQueue.get(id) ?? 0));
    return { id, step: 1 / weightOf(id), toShare, granted: 0, progress: before.get(id) ?? 0 };
  });
  const behind = tenants.filter(({ toShare }) => toShare > 0);
  // First up to the shares, with the reserve; what is left of the room after that goes to all.
  const order = assignSlots(behind, Math.min(most, withReserve(window) - use.total), (tenant) => tenant.toShare);
  const least = Math.min(...(behind.length > 0 ? behind : tenants).map(({ progress }) => progress));
  // Who was not to get anything has nothing to catch up on.
  for (const tenant of tenants) if (tenant.toShare === 0) tenant.progress = Math.max(tenant.progress, least);
  order.push(
    ...assignSlots(tenants, Math.min(most, window - use.total) - order.length, () => Number.POSITIVE_INFINITY),
  );
  const lowest = Math.min(...tenants.map(({ progress }) => progress));
  return {
    grants: new Map(tenants.filter(({ granted }) => granted > 0).map(({ id, granted }) => [id, granted])),
    order,
    progress: new Map(tenants.map(({ id, progress }) => [id, progress - lowest])),
  };
}

/**
 * What was taken for the slots, in their `order`: each tenant's own order stays, a slot for which nothing was there is
 * passed over. Were all of one tenant added before all of another, only one of them would lose by a late count of the queue.
 */
export function inOrderOfSlots<T extends { tenantId: string }>(order: readonly string[], taken: readonly T[]): T[] {
  const ofTenant = new Map<string, T[]>();
  for (const { tenantId } of taken) ofTenant.set(tenantId, []);
  for (const run of taken) ofTenant.get(run.tenantId)?.push(run);
  return order.flatMap((tenantId) => ofTenant.get(tenantId)?.shift() ?? []);
}

interface Tenant {
  id: string;
  toShare: number;
  granted: number;
  progress: number;
  step: number;
}

/** The tenants of the assigned slots, in that order. */
function assignSlots(tenants: readonly Tenant[], slots: number, limitOf: (tenant: Tenant) => number): string[] {
  const order: string[] = [];
  while (order.length < slots) {
    let next: Tenant | undefined;
    for (const tenant of tenants) {
      const open = tenant.granted < limitOf(tenant);
      if (open && (next === undefined || tenant.progress < next.progress)) next = tenant;
    }
    if (next === undefined) return order;
    next.granted += 1;
    next.progress += next.step;
    order.push(next.id);
  }
  return order;
}

function activeIn({ inQueue, waiting }: Pick<WindowUse, 'inQueue' | 'waiting'>): Set<string> {
  return new Set([...inQueue.keys(), ...waiting]);
}

function shareOf(window: number, active: ReadonlySet<string>, tenantId: string, weightOf: WeightOf): number {
  const all = [...active].reduce((sum, id) => sum + weightOf(id), 0);
  return Math.max(1, Math.floor((window * weightOf(tenantId)) / all));
}

function withReserve(window: number): number {
  return window + Math.ceil(window * RESERVE);
}
