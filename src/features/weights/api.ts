/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { tenantWeightRoutes } from './routes.ts';

export const api = featureApi([tenantWeightRoutes], ({ config, weights }) => ({ config, tenantWeights: weights }));
