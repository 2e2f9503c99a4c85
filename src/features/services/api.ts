/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { registryOf } from './assemble.ts';
import { registryRoutes } from './routes.ts';

export const api = featureApi([registryRoutes], (parts) => ({
  registry: registryOf(parts),
  checkIntervalSeconds: parts.config.checkIntervalSeconds,
}));
