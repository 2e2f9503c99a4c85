/** Numbers about workflows, as they are read. */
import type { Counts } from '../../store/views/execution-statistics.ts';

/** Durations in milliseconds, of those that have one. */
export interface Measured {
  measured: number;
  average: number | null;
  longest: number | null;
  /** 50, 90, 95, 99; null where nothing was measured. */
  percentiles: Array<number | null> | null;
}

/** Of one workflow, or of all together (`whole` 1). */
export type ExecutionGroup = Counts & Measured & { whole: number; workflowId: string | null; name: string | null };

/** Of one action type, or of all together. */
export type TaskGroup = Counts & Measured & { whole: number; actionType: string | null; retried: number };

export interface TenantStatistics {
  workflows: { total: number; active: number };
  /** Those with the most executions first. */
  executions: ExecutionGroup[];
  statuses: Array<{ status: string; n: number }>;
  tasks: TaskGroup[];
  tags: Array<{ tag: string; count: number }>;
  /** There are more executions than were counted. */
  truncated: boolean;
  /** By the clock of the database. */
  at: Date;
}

export interface StatisticsReader {
  ofTenant(tenantId: string, windowSeconds: number): Promise<TenantStatistics>;
}
