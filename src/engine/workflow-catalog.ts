/** What is found and told of the workflows of a tenant and of their executions. The stores implement it. */
import type { ExecutionStatistics, ExecutionSummary, WorkflowSummary } from '../schemas/workflow-answers.ts';
import type { ActivityEntry, HistoryStep } from '../schemas/workflow-history.ts';
import type { WorkflowStatistics } from '../schemas/workflow-statistics.ts';
import type { WorkflowTemplates } from './workflow-templates.ts';

export interface WorkflowSearch {
  /** Best first. `similar`: nothing has all the words, and these are like them. */
  search(
    tenantId: string,
    words: readonly string[],
    page: { limit: number; skip: number },
  ): Promise<{ items: Array<WorkflowSummary & { rank: number }>; total: number; match: 'words' | 'similar' }>;
}

export interface StatisticsReader {
  ofTenant(tenantId: string, windowSeconds: number): Promise<Omit<WorkflowStatistics, 'window'>>;
  ofWorkflow(tenantId: string, workflowId: string): Promise<ExecutionStatistics>;
}

export interface HistoryReader {
  /** By execution: the first of its steps, and how many there are. */
  steps(
    runs: ReadonlyArray<Pick<ExecutionSummary, 'execution_id' | 'workflow_id' | 'workflow_version'>>,
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

export interface WorkflowCatalog {
  templates: WorkflowTemplates;
  search: WorkflowSearch;
  statistics: StatisticsReader;
  history: HistoryReader;
  activity: ActivityReader;
}
