/** A catalogue of workflows in which there is nothing. */
import { OrchestratorError } from '../../src/domain/errors.ts';
import type { HttpDeps } from './http-deps.ts';

const unknown = () => Promise.reject(new OrchestratorError('not_found', 'Template not found'));
const NOTHING = { count: 0, average: null, p50: null, p90: null, p95: null, p99: null, max: null };

export function emptyCatalog(): Pick<
  HttpDeps,
  'templates' | 'search' | 'statistics' | 'statisticsOf' | 'history' | 'activity'
> {
  return {
    templates: { list: async () => new Map(), get: unknown, make: unknown, save: unknown, remove: unknown },
    search: { search: async () => ({ items: [], total: 0, match: 'words' }) },
    statistics: {
      ofTenant: async () => ({
        total_workflows: 0,
        active_workflows: 0,
        total_executions: 0,
        successful_executions: 0,
        failed_executions: 0,
        average_execution_time: null,
        success_rate: null,
        retry_rate: null,
        executions_by_status: {},
        execution_duration_ms: NOTHING,
        task_duration_ms: NOTHING,
        by_workflow: [],
        by_action_type: [],
        popular_tags: [],
        truncated: false,
        summary: { workflows: 0, executions: 0, success_rate: null, most_active_workflows: [] },
        generated_at: '2030-01-01T12:00:00.000Z',
      }),
    },
    statisticsOf: async () => ({
      total: 0,
      completed: 0,
      failed: 0,
      successRate: null,
      averageSeconds: null,
      newestAt: null,
    }),
    history: { steps: async () => new Map() },
    activity: { list: async () => ({ items: [], next: undefined }) },
  };
}
