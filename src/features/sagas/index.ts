/** Sagas: executions whose actions are compensated when they do not complete, and how far they are. */
import type { Feature } from '../../feature.ts';

export const sagas: Feature = { name: 'sagas', api: async () => (await import('./api.ts')).api };
