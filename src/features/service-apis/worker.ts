/** What a worker has of it: its adapters ask services for their documents and store them, and calls of operations are made by those. */
import type { FeatureWorker } from '../../feature.ts';
import { createServiceStore } from '../services/store.ts';
import { serviceApisOf } from './assemble.ts';
import { createApisOfTasks, operationsOf } from './task-access.ts';

export const worker: FeatureWorker = {
  open({ config, pool, prisma, expressions }) {
    const apis = serviceApisOf(expressions, config, { pool, prisma }, createServiceStore(pool));
    return { capabilities: createApisOfTasks(apis), operations: (tenantId) => operationsOf(apis, tenantId) };
  },
};
