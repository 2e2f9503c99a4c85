/** The metrics of an API: what it counts where, and what it asks for when it is scraped. */
import { describe, OrchestratorError } from '../../domain/errors.ts';
import type { AcceptRuns } from '../../engine/ports/use-cases.ts';
import type { HttpCore } from '../../http/server/core.ts';
import { type AcceptResult, type ApiMetrics, type ApiSource, createApiMetrics } from '../../telemetry/api-metrics.ts';
import type { SharedMetrics } from '../../telemetry/shared-metrics.ts';
import { VERSION } from '../../version.ts';

export function apiMetrics(source: Omit<ApiSource, 'process' | 'version'>): ApiMetrics {
  return createApiMetrics({ ...source, process: 'api', version: VERSION });
}

export function meteredAnswers(shared: SharedMetrics, metrics: ApiMetrics): NonNullable<HttpCore['answered']> {
  return (request) => {
    shared.answered(request);
    if (request.problem !== undefined) metrics.problem(request.problem);
  };
}

/** Times what takes executions in. A bulk request counts once; what was wrong with single items of it is their own. */
export function meteredAccepts<Accepts extends AcceptRuns>(
  accept: Accepts,
  onAccepted: ApiMetrics['accepted'],
): Accepts {
  async function timed<T>(work: Promise<T>): Promise<T> {
    const startedAt = performance.now();
    let result: AcceptResult = 'accepted';
    try {
      return await work;
    } catch (error) {
      result = resultOf(error);
      throw error;
    } finally {
      onAccepted(result, (performance.now() - startedAt) / 1000);
    }
  }
  return {
    ...accept,
    acceptTask: (...of) => timed(accept.acceptTask(...of)),
    acceptTasks: (...of) => timed(accept.acceptTasks(...of)),
    executeWorkflow: (...of) => timed(accept.executeWorkflow(...of)),
    executeWorkflowMany: (...of) => timed(accept.executeWorkflowMany(...of)),
  };
}

function resultOf(error: unknown): AcceptResult {
  if (!(error instanceof OrchestratorError)) return 'failed';
  if (error.code === 'overloaded' || error.code === 'queue_full') return 'turned_away';
  return describe(error.code).status < 500 ? 'refused' : 'failed';
}
