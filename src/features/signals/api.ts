/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createFindRun } from './inbox-store.ts';
import { signalRoutes } from './routes.ts';
import { createSignals } from './send-signal.ts';
import { createSignalStore } from './store.ts';

export const api = featureApi([signalRoutes], ({ config, pool, expressions, ...parts }) => ({
  signals: createSignals({
    ...parts,
    findRun: createFindRun(pool),
    signals: createSignalStore(pool),
    texts: expressions,
    maxOutputBytes: config.maxOutputBytes,
  }),
}));
