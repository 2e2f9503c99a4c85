/** Numbers about workflows. */
import type { WorkflowStatistics } from './schemas.ts';

export interface StatisticsReader {
  ofTenant(tenantId: string, windowSeconds: number): Promise<Omit<WorkflowStatistics, 'window'>>;
}
