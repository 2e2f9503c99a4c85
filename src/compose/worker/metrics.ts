/** The metrics of a worker: what it counts where. */
import type pg from 'pg';
import type { Egress } from '../../egress/egress.ts';
import { EgressError } from '../../egress/errors.ts';
import { createEgressMetrics, type EgressMetrics } from '../../telemetry/egress-metrics.ts';
import {
  createWorkerMetrics,
  type WorkerEvents,
  type WorkerMetrics,
  type WorkerSource,
} from '../../telemetry/worker-metrics.ts';
import { VERSION } from '../../version.ts';

export function workerMetrics(
  source: Omit<WorkerSource, 'process' | 'version' | 'connections'> & { pool: pg.Pool },
): WorkerMetrics & { outbound: EgressMetrics } {
  const metrics = createWorkerMetrics({ ...source, process: 'worker', version: VERSION, connections: source.pool });
  return { ...metrics, outbound: createEgressMetrics(metrics.registry) };
}

/** Counts all that goes out, with how it ended. */
export function meteredEgress(egress: Egress, onRequested: WorkerEvents['requested']): Egress {
  return {
    ...egress,
    async fetch(url, init) {
      const startedAt = performance.now();
      let result = 'aborted';
      try {
        const answer = await egress.fetch(url, init);
        result = `${Math.floor(answer.status / 100)}xx`;
        return answer;
      } catch (error) {
        if (error instanceof EgressError) result = error.fault;
        throw error;
      } finally {
        onRequested(result, (performance.now() - startedAt) / 1000);
      }
    },
  };
}
