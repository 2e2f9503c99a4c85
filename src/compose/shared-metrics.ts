/** What `/metrics` tells: this process's own metrics, and those that all processes have counted together. */
import type pg from 'pg';
import type { Registry } from 'prom-client';
import type { Logger } from '../engine/ports/logger.ts';
import type { CompletedOutcome, Outcome, TaskStore } from '../engine/ports/tasks.ts';
import { repeatUntil } from '../engine/recover/reconcile.ts';
import type { MetricsRegistry } from '../http/server/metrics.ts';
import { createMetricTotals } from '../store/metric-totals.ts';
import { exposition } from '../telemetry/exposition.ts';
import { createSharedMetrics, type SharedMetrics } from '../telemetry/shared-metrics.ts';
import type { DeliveryFault } from '../telemetry/worker-metrics.ts';

const FLUSH_EVERY_MS = 5_000;

export function sharedMetrics(pool: pg.Pool): SharedMetrics {
  return createSharedMetrics({ totals: createMetricTotals(pool), now: () => performance.now() });
}

export function flushUntil(signal: AbortSignal, shared: SharedMetrics, log: Logger): Promise<void> {
  return repeatUntil({ signal, log }, FLUSH_EVERY_MS, 'add_metrics', shared.flush);
}

/** When nothing is counted any more. */
export async function flushLast(shared: SharedMetrics, log: Logger): Promise<void> {
  await shared.flush().catch((error: Error) => log.warn('metrics_not_added', { error: error.message }));
}

export function servedMetrics(own: Registry, shared: SharedMetrics): MetricsRegistry {
  const families = async () => {
    const [ours, all] = await Promise.all([own.getMetricsAsJSON(), shared.families()]);
    return [...ours, ...all];
  };
  return {
    metrics: async (format) => exposition(await families(), format),
    getMetricsAsJSON: families,
  };
}

/** Counts what the store has taken: an outcome that was refused is none. */
export function meteredTasks<Store extends Pick<TaskStore, 'commit' | 'claim' | 'recordLateEffect'>>(
  store: Store,
  shared: Pick<SharedMetrics, 'taskEnded' | 'taskRetried' | 'attemptEnded'>,
  delivery: (what: DeliveryFault) => void,
  /** Called with how often a task was delivered without an outcome, whenever that is counted. */
  redelivered?: (lane: string, deliveries: number) => void,
): Store {
  return {
    ...store,
    async commit(outcome: Outcome) {
      const result = await store.commit(outcome);
      if (result === 'accepted') count(shared, outcome);
      else delivery('commit_refused');
      return result;
    },
    async claim(task: Parameters<TaskStore['claim']>[0]) {
      delivery('claimed');
      const token = await store.claim(task);
      if (token !== undefined) redelivered?.(task.actionType, token.deliveries);
      return token;
    },
    async recordLateEffect(outcome: CompletedOutcome, isCompensated: boolean) {
      delivery('late_effect');
      await store.recordLateEffect(outcome, isCompensated);
    },
  };
}

function count(
  shared: Pick<SharedMetrics, 'taskEnded' | 'taskRetried' | 'attemptEnded'>,
  { status, final, ended, actionId, actionType, startedMono, traceId }: Outcome,
): void {
  if (final) shared.taskEnded(status);
  if (status === 'retrying') shared.taskRetried(actionId, actionType);
  if (ended && startedMono !== null) {
    shared.attemptEnded(actionType, (performance.now() - startedMono) / 1000, traceId);
  }
}
