/** What an API process has of it. */

import { randomUUID } from 'node:crypto';
import { featureApi } from '../../feature.ts';
import { createManualCompletion } from './complete-manually.ts';
import { manualCompletionRoutes } from './routes.ts';
import { createHandStore } from './store.ts';

export const api = featureApi([manualCompletionRoutes], ({ config, pool, clock, ...parts }) => ({
  byHand: createManualCompletion({
    ...parts,
    ends: createHandStore(pool),
    newId: randomUUID,
    now: clock.now,
    maxOutputBytes: config.maxOutputBytes,
  }),
}));
