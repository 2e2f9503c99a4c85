/** What an API process has of it. */

import { randomUUID } from 'node:crypto';
import { featureApi } from '../../feature.ts';
import { createPlatformEvents } from '../events/event-log-store.ts';
import { createDocumentStore } from './document-store.ts';
import { ingestionRoutes } from './ingestion-routes.ts';
import { jobRoutes } from './job-routes.ts';
import { proxyRoutes } from './proxy-routes.ts';

export const api = featureApi([ingestionRoutes, jobRoutes, proxyRoutes], ({ pool, prisma, reader, ...parts }) => ({
  ...parts,
  documents: createDocumentStore({ pool, prisma }),
  record: createPlatformEvents(pool),
  runs: reader,
  newId: randomUUID,
}));
