/** Exports runs that end in this process to a collector. */
import type pg from 'pg';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Traces } from './assemble.ts';
import { createEndedRunStore } from './ended-run-store.ts';
import { createEndedRunReader } from './ended-spans.ts';
import { createEndedRuns, type EndedRuns } from './export-ended-runs.ts';

export function tracedEnds(traces: Traces | undefined, pool: pg.Pool, log: Logger): EndedRuns | undefined {
  if (traces === undefined) return undefined;
  const { add, lost, isSampled } = traces;
  return createEndedRuns({
    reader: createEndedRunReader(createEndedRunStore(pool), isSampled),
    add,
    dropped: lost,
    log,
  });
}
