/** How much more of the queue a tenant gets than others while it is scarce. */
export interface TenantWeight {
  tenantId: string;
  weight: number;
  setBy: string;
  updatedAt: Date;
}

/** What was set while the service runs; it goes before TENANT_WEIGHTS. */
export interface TenantWeightStore {
  find(tenantId: string): Promise<TenantWeight | undefined>;
  set(tenantId: string, weight: number, by: string): Promise<TenantWeight>;
  /** Then what is configured applies again. */
  remove(tenantId: string): Promise<void>;
  all(): Promise<ReadonlyMap<string, number>>;
}
