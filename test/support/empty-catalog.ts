/** A catalogue of workflows in which there is nothing. */
import { OrchestratorError } from '../../src/domain/errors.ts';
import type { HttpDeps } from './http-deps.ts';

const unknown = () => Promise.reject(new OrchestratorError('not_found', 'Template not found'));

export function emptyCatalog(): Pick<
  HttpDeps,
  'templates' | 'search' | 'statistics' | 'statisticsOf' | 'history' | 'activity'
> {
  return {
    templates: { list: async () => new Map(), get: unknown, make: unknown, save: unknown, remove: unknown },
    search: { search: async () => ({ items: [], total: 0, match: 'words' }) },
    statistics: {
      ofTenant: async () => ({
        workflows: { total: 0, active: 0 },
        executions: [],
        statuses: [],
        tasks: [],
        tags: [],
        truncated: false,
        at: new Date('2030-01-01T12:00:00.000Z'),
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
