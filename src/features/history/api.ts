/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { workflowHistoryRoutes } from './routes.ts';
import { createActivityReader, createHistoryReader } from './store.ts';

export const api = featureApi([workflowHistoryRoutes], ({ pool, prisma, definitions, reader }) => ({
  history: createHistoryReader(pool, definitions),
  activity: createActivityReader({ pool, prisma }),
  runs: reader,
}));
