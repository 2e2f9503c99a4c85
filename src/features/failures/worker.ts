/** What a worker has of it: it counts failures in their groups, and removes old groups. */
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { createFailureCounter, removeOldGroups } from './count-failures.ts';
import { countFailures } from './error-groups.ts';

const COUNT_EVERY_MS = 1_000;
const REMOVE_EVERY_MS = 60_000;
const REMOVED_AT_ONCE = 500;

export const worker: FeatureWorker = {
  open({ pool, config: { retentionDays }, log }) {
    const counting = { failures: createFailureCounter(pool), log };
    const removeOld = () => removeOldGroups(pool, retentionDays, REMOVED_AT_ONCE);
    return {
      work: (signal) =>
        Promise.all([
          repeatUntil({ signal, log }, COUNT_EVERY_MS, 'count_failures', () => countFailures(counting, signal)),
          ...(retentionDays > 0 ? [repeatUntil({ signal, log }, REMOVE_EVERY_MS, 'remove_old_groups', removeOld)] : []),
        ]),
    };
  },
};
