/** What a worker has of it: it writes what adapters say. */
import type { FeatureWorker } from '../../feature.ts';
import { createTaskLogStore } from './store.ts';

export const worker: FeatureWorker = { open: ({ pool }) => ({ taskLogs: createTaskLogStore(pool) }) };
