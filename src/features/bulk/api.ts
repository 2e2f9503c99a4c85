/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createBulkControl } from './bulk-control.ts';
import { bulkRoutes } from './routes.ts';

export const api = featureApi([bulkRoutes], ({ reopening, cancel, reader, catalogue }) => ({
  bulk: createBulkControl({ ...reopening, cancel, reader, isIdempotent: catalogue.isIdempotent }),
}));
