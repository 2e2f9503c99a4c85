/** Tells a collector of runs that end in this process. */
import type pg from 'pg';
import { createEndedRuns, type EndedRuns } from '../engine/ended-runs.ts';
import type { Logger } from '../engine/ports.ts';
import { createEndedRunReader } from '../store/ended-runs.ts';
import type { Traces } from './traces.ts';

export function tracedEnds(traces: Traces | undefined, pool: pg.Pool, log: Logger): EndedRuns | undefined {
  if (traces === undefined) return undefined;
  const { add, lost, isSampled } = traces;
  return createEndedRuns({ reader: createEndedRunReader(pool, isSampled), add, dropped: lost, log });
}
