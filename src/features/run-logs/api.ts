/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { runLogRoutes } from './routes.ts';
import { createLogReader } from './store.ts';

export const api = featureApi([runLogRoutes], ({ pool }) => ({ logs: createLogReader(pool) }));
