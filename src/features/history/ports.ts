/** What is found and told of the workflows of a tenant and of their executions. The stores implement it. */

import type { RunSummary } from '../../engine/ports/run-views.ts';
import type { ActivityEntry, HistoryStep } from './schemas.ts';

export interface HistoryReader {
  /** By execution: the first of its steps, and how many there are. */
  steps(
    runs: ReadonlyArray<Pick<RunSummary, 'id' | 'workflowId' | 'workflowVersion'>>,
  ): Promise<Map<string, { steps: HistoryStep[]; total: number }>>;
}

/** Where a page of activity ended, in each of the two streams that it is made of; undefined: at their beginning. */
export interface ActivityPlace {
  change: string | undefined;
  execution: { createdAt: string; id: string } | undefined;
}
export interface ActivityReader {
  list(
    tenantId: string,
    filter: { userId: string | undefined; limit: number; after: ActivityPlace },
  ): Promise<{ items: ActivityEntry[]; next: ActivityPlace | undefined }>;
}
