/** Erasure and export: everything of a tenant, or of one user of it, is removed or exported. */
import type { Feature } from '../../feature.ts';

export const erasure: Feature = {
  name: 'erasure',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
