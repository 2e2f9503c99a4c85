/** How often each tenant was served lately, in a bounded memory: when all together come to the horizon, every count is halved. */
const HORIZON = 1_000;

export interface RecentUse {
  add(tenantId: string): void;
  of(tenantId: string): number;
  /** Of all tenants together. */
  total(): number;
}

export function createRecentUse(horizon = HORIZON): RecentUse {
  let counts = new Map<string, number>();
  let total = 0;
  return {
    add(tenantId) {
      counts.set(tenantId, (counts.get(tenantId) ?? 0) + 1);
      total += 1;
      if (total < horizon) return;
      // What is left of one is forgotten, or the memory would have everybody who was ever served.
      counts = new Map([...counts].map(([id, count]) => [id, count / 2] as const).filter(([, count]) => count >= 1));
      total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    },
    of: (tenantId) => counts.get(tenantId) ?? 0,
    total: () => total,
  };
}
