/** Run logs: what the adapters of an execution said. */
import type { Feature } from '../../feature.ts';

export const runLogs: Feature = {
  name: 'run-logs',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
