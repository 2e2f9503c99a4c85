/** Identity: a service of the operator's verifies bearer tokens and issues those of sessions. */
import type { Feature } from '../../feature.ts';

export const identity: Feature = {
  name: 'identity',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
