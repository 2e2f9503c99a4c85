/** Bulk operations: many executions are cancelled or retried by a filter. */
import type { Feature } from '../../feature.ts';

export const bulk: Feature = { name: 'bulk', api: async () => (await import('./api.ts')).api };
