/** Search: workflows are found by words. */
import type { Feature } from '../../feature.ts';

export const search: Feature = { name: 'search', api: async () => (await import('./api.ts')).api };
