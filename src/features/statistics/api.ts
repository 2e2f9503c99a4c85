/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { workflowStatisticsRoutes } from './routes.ts';
import { createStatisticsReader } from './store.ts';

export const api = featureApi([workflowStatisticsRoutes], ({ pool }) => ({ statistics: createStatisticsReader(pool) }));
