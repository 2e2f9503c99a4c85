/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { tracingRoutes } from './routes.ts';
import { createTraceReader } from './store.ts';

export const api = featureApi([tracingRoutes], ({ pool }) => ({ traces: createTraceReader(pool) }));
