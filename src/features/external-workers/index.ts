/** External workers: programs elsewhere poll for tasks, lease them and answer. */
import type { Feature } from '../../feature.ts';
import { external } from './adapter.ts';

export const externalWorkers: Feature = {
  name: 'external-workers',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  adapters: [external],
};
