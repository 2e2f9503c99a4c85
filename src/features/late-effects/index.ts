/** Late effects: successes of actions that had been given up. */
import type { Feature } from '../../feature.ts';

export const lateEffects: Feature = { name: 'late-effects', api: async () => (await import('./api.ts')).api };
