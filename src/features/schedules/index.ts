/** Schedules: workflows that run by themselves, by a cron expression, an interval, or once. */
import type { Feature } from '../../feature.ts';

export const schedules: Feature = {
  name: 'schedules',
  api: async () => (await import('./api.ts')).api,
  worker: async () => (await import('./worker.ts')).worker,
};
