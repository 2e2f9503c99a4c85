/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createServiceStore } from '../services/store.ts';
import { operationsCheckOf, serviceApiReaderOf } from './assemble.ts';
import { serviceApiRoutes } from './routes.ts';

export const api = featureApi([serviceApiRoutes], ({ config, pool, prisma, reader, system, links }) => ({
  serviceApis: serviceApiReaderOf(config, { pool, prisma }, createServiceStore(pool)),
  runs: reader,
  system,
  links,
  hooks: { beforeSave: operationsCheckOf(config, { pool, prisma }) },
}));
