/** The worker's part: its adapters fetch the documents of services and store them, and prepare calls of operations by them. */
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
