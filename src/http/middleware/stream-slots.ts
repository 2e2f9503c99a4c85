/** Limits how many streams a tenant may have open at a time: each occupies memory for as long as its client likes. */
export interface StreamSlots {
  /** A slot, or undefined when the tenant has all it may have. */
  take(tenantId: string): { release(): void } | undefined;
}

export function createStreamSlots(perTenant: number): StreamSlots {
  const taken = new Map<string, number>();
  return {
    take(tenantId) {
      const count = taken.get(tenantId) ?? 0;
      if (count >= perTenant) return undefined;
      taken.set(tenantId, count + 1);
      let released = false;
      return {
        release() {
          if (released) return;
          released = true;
          const now = (taken.get(tenantId) ?? 1) - 1;
          if (now === 0) taken.delete(tenantId);
          else taken.set(tenantId, now);
        },
      };
    },
  };
}
