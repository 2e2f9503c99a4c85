/** The search of workflows. */
import type { WorkflowSummary } from '../../engine/ports/read-models.ts';

export interface WorkflowSearch {
  /** Best first. `similar`: nothing has all the words, and these are like them. */
  search(
    tenantId: string,
    words: readonly string[],
    page: { limit: number; skip: number },
  ): Promise<{ items: Array<WorkflowSummary & { rank: number }>; total: number; match: 'words' | 'similar' }>;
}
