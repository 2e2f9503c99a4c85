/** Webhooks: events of executions are sent to addresses that tenants name. */
import type { Feature } from '../../feature.ts';

export const webhooks: Feature = {
  name: 'webhooks',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
