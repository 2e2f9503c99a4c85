/** Metrics of a worker, beside those of every process. Label sets are bounded. */
import { boundedNames } from './bounded-names.ts';
import { createProcessMetrics, type ProcessMetrics, type ProcessSource } from './process-metrics.ts';
import { SECONDS } from './shared-metrics.ts';

// They are 0 from the start: a rise from nothing is none to Prometheus, and the first would raise no alert.
const CALL_RESULTS = ['stored', 'dropped'] as const;
const PASS_COUNTS = ['dispatched', 'checked', 'repaired'] as const;
const DELIVERY_FAULTS = ['claimed', 'commit_refused', 'late_effect'] as const;
export type DeliveryFault = (typeof DELIVERY_FAULTS)[number];

export interface WorkerMetrics extends ProcessMetrics {
  worker: WorkerEvents;
}

export interface WorkerEvents {
  /** Calls to the outside, as spans of traces. */
  callSpans(result: (typeof CALL_RESULTS)[number], spans: number): void;
  /** A request to the outside is over: the class of its status (`2xx`), or why there was none. */
  requested(result: string, seconds: number): void;
  /** By retention. */
  removed(runs: number): void;
  /** The first delivery of a task. */
  picked(lane: string, waitedSeconds: number): void;
  delivery(what: DeliveryFault): void;
  reconciled(
    report: { dispatched: number; checked: number; repaired: number; heldBack: boolean },
    durationMs: number,
    lagMs: number,
  ): void;
}

export interface WorkerSource extends ProcessSource {
  pendingCommits(): number;
  activeTasks(): number;
  /** Takes nothing although jobs wait. */
  isUnresponsive(): boolean;
}

/** Faults have names; statuses are counted by their class. */
const MAX_RESULTS = 20;

export function createWorkerMetrics(source: WorkerSource): WorkerMetrics {
  const { instruments, ...own } = createProcessMetrics(source);
  const { counter, gauge, histogram } = instruments;
  const passes = counter(
    'orchestrator_sweep_runs_total',
    'Executions that the dispatcher added, and that the reconciler looked at and repaired',
    ['what'],
  );
  const removals = counter(
    'orchestrator_removed_runs_total',
    'Executions removed by retention, for their days or for RETENTION_BYTES',
  );
  const calls = counter(
    'orchestrator_call_spans_total',
    'Calls to the outside that were written down for traces, or dropped because there was no room or no database',
    ['result'],
  );
  const requests = histogram(
    'orchestrator_outgoing_request_seconds',
    'Requests to the outside, by the class of the status that was answered, or why there was no answer',
    SECONDS,
    ['result'],
  );
  const waited = histogram(
    'orchestrator_queue_wait_seconds',
    'From when a task could have been taken until a worker took it, at its first delivery',
    SECONDS,
    ['lane'],
  );
  const deliveries = counter(
    'orchestrator_delivery_faults_total',
    'Deliveries that needed a new token, commits that were refused because another held the task, and successes that came too late',
    ['what'],
  );
  for (const result of CALL_RESULTS) calls.inc({ result }, 0);
  for (const what of PASS_COUNTS) passes.inc({ what }, 0);
  for (const what of DELIVERY_FAULTS) deliveries.inc({ what }, 0);
  let pass: { at: number; seconds: number; lagSeconds: number; heldBack: boolean } | undefined;
  gauge(
    'orchestrator_sweep_last_pass_timestamp_seconds',
    'When a pass of the dispatcher and reconciler last ended in this process; 0 where another process does it',
    () => pass?.at ?? 0,
  );
  gauge('orchestrator_sweep_pass_seconds', 'How long that pass took', () => pass?.seconds ?? 0);
  gauge(
    'orchestrator_sweep_held_back',
    '1 while the store of the queue is nearly full, so that nothing is added to it',
    () => (pass?.heldBack === true ? 1 : 0),
  );
  gauge(
    'orchestrator_sweep_lag_seconds',
    'How long the most overdue execution waits to be looked at, after that pass',
    () => pass?.lagSeconds ?? 0,
  );
  gauge('orchestrator_pending_commits', 'Outcomes that wait for the database', source.pendingCommits);
  gauge('orchestrator_worker_tasks_in_hand', 'Tasks in the hands of this worker', source.activeTasks);
  gauge(
    'orchestrator_worker_deaf',
    '1 while this worker takes nothing although jobs wait and it has room, or its connection does not answer',
    () => (source.isUnresponsive() ? 1 : 0),
  );
  const resultName = boundedNames(MAX_RESULTS);
  return {
    ...own,
    worker: {
      callSpans(result, spans) {
        calls.inc({ result }, spans);
      },
      requested(result, seconds) {
        requests.observe({ result: resultName(result) }, seconds);
      },
      removed(runs) {
        removals.inc(runs);
      },
      picked(lane, waitedSeconds) {
        waited.observe({ lane }, Math.max(0, waitedSeconds));
      },
      delivery(what) {
        deliveries.inc({ what });
      },
      reconciled({ dispatched, checked, repaired, heldBack }, durationMs, lagMs) {
        pass = { at: Date.now() / 1000, seconds: durationMs / 1000, lagSeconds: lagMs / 1000, heldBack };
        passes.inc({ what: 'dispatched' }, dispatched);
        passes.inc({ what: 'checked' }, checked);
        passes.inc({ what: 'repaired' }, repaired);
      },
    },
  };
}
