/** Approvals: an execution waits until somebody who may has approved or rejected an action. */
import type { Feature } from '../../feature.ts';
import { approval } from './adapter.ts';

export const approvals: Feature = {
  name: 'approvals',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  adapters: [approval],
};
