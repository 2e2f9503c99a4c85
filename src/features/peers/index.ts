/** Peers: installations replicate their registered services. */
import type { Feature } from '../../feature.ts';

export const peers: Feature = {
  name: 'peers',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
