/** Records the calls of a worker as spans; undefined where none are stored or exported. */
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import { type CallSpans, type CallSpansDeps, createCallSpans } from '../../engine/tracing/call-spans.ts';
import { createSpanIds } from '../../telemetry/span-ids.ts';
import { createCallSpanStore } from './call-store.ts';

export function traceCalls(
  { traceRetentionHours }: Pick<Config, 'traceRetentionHours'>,
  deps: Pick<CallSpansDeps, 'onSpans' | 'log' | 'ended' | 'isSampled'> & { pool: pg.Pool },
): CallSpans | undefined {
  if (traceRetentionHours === 0 && deps.ended === undefined) return undefined;
  return createCallSpans({
    store: traceRetentionHours === 0 ? undefined : createCallSpanStore(deps.pool, traceRetentionHours),
    isSampled: deps.isSampled,
    ended: deps.ended,
    newSpanId: createSpanIds(),
    now: () => performance.now(),
    onSpans: deps.onSpans,
    log: deps.log,
  });
}
