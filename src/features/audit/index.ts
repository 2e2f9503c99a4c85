/** Audit: who did what, in chains of hashes that show when something was changed. */
import type { Feature } from '../../feature.ts';

export const audit: Feature = {
  name: 'audit',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  doctor: async () => ({ name: 'audit_chain', check: (await import('./doctor.ts')).checkAuditChain }),
};
