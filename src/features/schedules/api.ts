/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createSchedules } from './manage-schedules.ts';
import { scheduleRoutes } from './routes.ts';
import { createScheduleStore } from './store.ts';

export const api = featureApi([scheduleRoutes], ({ pool, prisma, workflows, accept, expressions, links, newId }) => ({
  schedules: createSchedules({
    schedules: createScheduleStore({ pool, prisma }),
    workflows,
    accept,
    texts: expressions,
    newId,
    now: Date.now,
  }),
  links,
}));
