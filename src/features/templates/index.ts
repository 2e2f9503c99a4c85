/** Templates: workflows that others are made from, those that are shipped and those of tenants. */
import type { Feature } from '../../feature.ts';

export const templates: Feature = { name: 'templates', api: async () => (await import('./api.ts')).api };
