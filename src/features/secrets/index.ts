/** Secrets: values that tasks may use and nobody may read. */
import type { Feature } from '../../feature.ts';

export const secrets: Feature = {
  name: 'secrets',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
