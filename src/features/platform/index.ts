/** Platform: what the older workflow platform did; each request is an execution of one of the service’s own workflows. */
import type { Feature } from '../../feature.ts';
import { runReport } from './run-report-adapter.ts';
import { storeDocument } from './store-document-adapter.ts';
import { SYSTEM_WORKFLOWS } from './system-workflows.ts';

export const platform: Feature = {
  name: 'platform',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  adapters: [runReport, storeDocument],
  systemWorkflows: SYSTEM_WORKFLOWS,
};
