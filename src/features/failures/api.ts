/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { failuresOf } from './assemble.ts';
import { deadLetterRoutes } from './dead-letter-routes.ts';
import { errorGroupRoutes } from './error-group-routes.ts';

export const api = featureApi([deadLetterRoutes, errorGroupRoutes], ({ pool, prisma, reopening, rejectedMessages }) =>
  failuresOf({ pool, prisma }, reopening, rejectedMessages),
);
