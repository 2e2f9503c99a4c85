/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { versionRoutes } from './routes.ts';

export const api = featureApi([versionRoutes], ({ workflows }) => ({ workflows }));
