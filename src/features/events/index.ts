/** Events: those from outside start and wake executions, and all that happened is stored, streamed and replayed. */
import type { Feature } from '../../feature.ts';
import { replayEvents } from './adapter.ts';

export const events: Feature = {
  name: 'events',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  adapters: [replayEvents],
};
