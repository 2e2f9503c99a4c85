/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { secretsOf } from './assemble.ts';
import { secretRoutes } from './routes.ts';

export const api = featureApi([secretRoutes], ({ config, pool, prisma, links }) => ({
  secrets: secretsOf(config, { pool, prisma }),
  links,
}));
