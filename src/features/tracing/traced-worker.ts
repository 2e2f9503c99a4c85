/** The parts of a worker with their spans around them: the parts themselves where no spans are exported. */
import type pg from 'pg';
import type { Registry } from 'prom-client';
import type { Config } from '../../config/config.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { FlowQueue } from '../../engine/ports/queue.ts';
import type { RunStore } from '../../engine/ports/runs.ts';
import type { TaskStore } from '../../engine/ports/tasks.ts';
import { saysUnsampled } from '../../engine/tracing/span-ids.ts';
import { tracesOf } from './assemble.ts';
import { tracedRuns, tracedSagas, tracedTasks } from './export-ended-runs.ts';
import { tracedEnds } from './traced-ends.ts';
import { tracedCalls, tracedCommits, tracedDeliveries, tracedQueue } from './traced-work.ts';

export function tracedWorker(
  config: Parameters<typeof tracesOf>[0] & Pick<Config, 'traceExport'>,
  { pool, now, log }: { pool: pg.Pool; now(): number; log: Logger },
) {
  const spans = tracesOf(config, 'worker', log);
  const ends = tracedEnds(spans, pool, log);
  return {
    /** Without a collector it is as the caller said, for those that have one. */
    isSampled: (traceId: string, parentSpan: string | null | undefined) =>
      spans?.isSampled(traceId, parentSpan) ?? !saysUnsampled(parentSpan),
    queue: <Queue extends Pick<FlowQueue, 'add'>>(queue: Queue) => tracedQueue(queue, spans, now),
    tasks: <Tasks extends Pick<TaskStore, 'commit'>>(tasks: Tasks) => tracedTasks(tasks, ends),
    runs: <Runs extends Pick<RunStore, 'endAbnormally' | 'finalize'>>(runs: Runs) => tracedRuns(runs, ends),
    sagas: <Sagas extends Parameters<typeof tracedSagas>[0]>(sagas: Sagas) => tracedSagas(sagas, ends),
    commits: tracedCommits(spans, now),
    calls: tracedCalls(spans, now),
    deliveries: tracedDeliveries(spans, now),
    start: async (registry: Registry) => spans?.start(registry),
    async stop() {
      await ends?.stop();
      await spans?.stop();
    },
  };
}
