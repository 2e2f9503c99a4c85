/** Statistics: numbers about the workflows of a tenant and their executions. */
import type { Feature } from '../../feature.ts';

export const statistics: Feature = { name: 'statistics', api: async () => (await import('./api.ts')).api };
