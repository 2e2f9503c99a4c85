/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { sagaRoutes } from './routes.ts';
import { createSagaReader } from './store.ts';

export const api = featureApi([sagaRoutes], ({ pool, definitions }) => ({
  sagas: createSagaReader(pool, definitions),
}));
