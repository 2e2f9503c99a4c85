/** What a worker has of it: it erases what is to be erased. */
import { pause, repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { eraseData } from './erase-data.ts';
import { createErasureSteps } from './store.ts';

const ERASE_EVERY_MS = 2_000;

export const worker: FeatureWorker = {
  open({ pool, tables, ...parts }) {
    const deps = { ...parts, steps: createErasureSteps(pool, tables), pause };
    return {
      work: (signal) =>
        repeatUntil({ signal, log: parts.log }, ERASE_EVERY_MS, 'erase_data', () => eraseData(deps, signal)),
    };
  },
};
