/** What a worker has of it: its adapters save documents and report runs. */
import type { FeatureWorker } from '../../feature.ts';
import { createDocumentStore } from './document-store.ts';
import { createReportReader } from './run-report-store.ts';
import { createPlatformAccess } from './task-access.ts';

export const worker: FeatureWorker = {
  open: ({ pool, prisma }) => ({
    capabilities: createPlatformAccess({
      documents: createDocumentStore({ pool, prisma }),
      report: createReportReader(pool),
    }),
  }),
};
