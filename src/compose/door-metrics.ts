/** What `/metrics` tells: this process's own metrics, and those that all processes have counted together. */
import type pg from 'pg';
import type { Registry } from 'prom-client';
import type { Logger, Outcome, TaskStore } from '../engine/ports.ts';
import { repeatUntil } from '../engine/sweep.ts';
import type { MetricsRegistry } from '../http/metrics.ts';
import { createMetricTotals } from '../store/metric-totals.ts';
import { createSharedMetrics, type SharedMetrics } from '../telemetry/shared-metrics.ts';

const FLUSH_EVERY_MS = 5_000;

export function sharedMetrics(pool: pg.Pool): SharedMetrics {
  return createSharedMetrics({ totals: createMetricTotals(pool), now: () => performance.now() });
}

export function flushUntil(signal: AbortSignal, shared: SharedMetrics, log: Logger): Promise<void> {
  return repeatUntil(signal, FLUSH_EVERY_MS, shared.flush, log);
}

/** When nothing is counted any more. */
export async function flushLast(shared: SharedMetrics, log: Logger): Promise<void> {
  await shared.flush().catch((error: Error) => log.warn('metrics_not_added', { error: error.message }));
}

export function doorMetrics(own: Registry, shared: SharedMetrics): MetricsRegistry {
  return {
    contentType: own.contentType,
    async metrics() {
      const [ours, all] = await Promise.all([own.metrics(), shared.metrics()]);
      return `${ours.trimEnd()}\n\n${all}`;
    },
    async getMetricsAsJSON() {
      const [ours, all] = await Promise.all([own.getMetricsAsJSON(), shared.getMetricsAsJSON()]);
      return [...ours, ...all];
    },
  };
}

/** Counts what the store has taken: an outcome that was refused is none. */
export function counting<Store extends Pick<TaskStore, 'commit'>>(store: Store, shared: SharedMetrics): Store {
  return {
    ...store,
    async commit(outcome: Outcome) {
      const result = await store.commit(outcome);
      if (result === 'accepted') count(shared, outcome);
      return result;
    },
  };
}

function count(shared: SharedMetrics, { status, final, ended, actionId, actionType, startedMono }: Outcome): void {
  if (final) shared.taskEnded(status);
  if (status === 'retrying') shared.taskRetried(actionId, actionType);
  if (ended && startedMono !== null) shared.attemptEnded(actionType, (performance.now() - startedMono) / 1000);
}
