/** Services: a registry of what is called by name, with health checks, circuit breakers and rate limits. */
import type { Feature } from '../../feature.ts';

export const services: Feature = {
  name: 'services',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
