/** Flow runner: runs that are requested under an id of their requester, as the older flow runner took them. */
import type { Feature } from '../../feature.ts';

export const flowRunner: Feature = {
  name: 'flow-runner',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
  doctor: async () => ({ name: 'flow_messages', check: (await import('./doctor.ts')).checkFlowMessages }),
};
