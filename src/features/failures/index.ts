/** Failures: tasks that failed for good are dead letters, and errors are grouped by what they have in common. */
import type { Feature } from '../../feature.ts';

export const failures: Feature = {
  name: 'failures',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
