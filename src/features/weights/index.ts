/** Weights: how much of the queue a tenant gets while it is scarce. */
import type { Feature } from '../../feature.ts';

export const weights: Feature = { name: 'weights', api: async () => (await import('./api.ts')).api };
