/** Versions: how two of a workflow differ, and a canary that gets a share of the executions. */
import type { Feature } from '../../feature.ts';

export const versions: Feature = { name: 'versions', api: async () => (await import('./api.ts')).api };
