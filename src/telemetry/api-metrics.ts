/** Metrics of an API process: its own, and those of the engine as `GET /workflows/health` has it. */
import { ALIVE_SECONDS } from '../domain/health/liveness.ts';
import { boundedNames } from './bounded-names.ts';
import { cached } from './kept.ts';
import { createProcessMetrics, type ProcessMetrics, type ProcessSource, SHORT_SECONDS } from './process-metrics.ts';

const ACCEPT_RESULTS = ['accepted', 'refused', 'turned_away', 'failed'] as const;
/** `refused`: for a reason that is the caller's; `turned_away`: there was no room; `failed`: it could not be stored. */
export type AcceptResult = (typeof ACCEPT_RESULTS)[number];

export interface ApiMetrics extends ProcessMetrics {
  accepted(result: AcceptResult, seconds: number): void;
  /** An answer that was a problem document. */
  problem(code: string): void;
}

export interface EngineState {
  databaseConnected: boolean;
  queueConnected: boolean;
  queued: number;
  stuck: number;
  lanes: ReadonlyArray<{
    lane: string;
    depth: number;
    active: number;
    delayed: number;
    blocked: number;
    oldestWaitingSeconds: number | null;
    workers: number;
  }>;
  workers: ReadonlyArray<{ alive: boolean }>;
  sweep: { ageSeconds: number } | null;
}

export interface ApiSource extends ProcessSource {
  acceptsInHand(): number;
  engine(): Promise<EngineState>;
  /** The share of its memory that the queue's store uses; undefined: it has no limit, or is not known. */
  queueUse(): number | undefined;
  /** Tasks can be committed, as far as is known. */
  databaseUsable(): boolean;
}

/** The catalogue of errors has some dozens of codes. */
const MAX_CODES = 200;

export function createApiMetrics(source: ApiSource): ApiMetrics {
  const { instruments, ...own } = createProcessMetrics(source);
  const { counter, gauge, gauges, histogram } = instruments;
  const accepts = histogram(
    'orchestrator_accept_seconds',
    'How long it took to take executions in, or to say no',
    SHORT_SECONDS,
    ['result'],
  );
  // As 0 from the start: a rise from nothing is none to Prometheus, and the first to be turned away would not be seen.
  for (const result of ACCEPT_RESULTS) accepts.zero({ result });
  const problems = counter('orchestrator_problems_total', 'Answers of the API that were errors, by their code', [
    'code',
  ]);
  const codeName = boundedNames(MAX_CODES);
  gauge('orchestrator_accepts_in_hand', 'Executions that wait to be stored', source.acceptsInHand);
  gauge(
    'orchestrator_queue_memory_ratio',
    'The share of its memory that the store of the queue uses; not told where it has no limit',
    source.queueUse,
  );
  gauge(
    'orchestrator_database_usable',
    '1 while tasks can be committed on the database as far as this API knows, 0 while nothing is accepted for it',
    () => Number(source.databaseUsable()),
  );
  engineGauges({ gauge, gauges }, cached(source.engine));
  return {
    ...own,
    accepted: (result, seconds) => accepts.observe({ result }, seconds),
    problem: (code) => problems.inc({ code: codeName(code) }),
  };
}

/** The same at every API, so the greatest of several is what holds. Metrics from the database are absent while it is away. */
function engineGauges(
  { gauge, gauges }: Pick<ReturnType<typeof createProcessMetrics>['instruments'], 'gauge' | 'gauges'>,
  engine: () => Promise<EngineState | undefined>,
): void {
  const fact = (pick: (state: EngineState) => number | undefined) => async () => {
    const state = await engine();
    return state?.databaseConnected === true ? pick(state) : undefined;
  };
  gauges('orchestrator_store_connected', '1 while the API reaches it', ['store'], async () => {
    const state = await engine();
    return [
      [{ store: 'database' }, state?.databaseConnected === true ? 1 : 0],
      [{ store: 'queue' }, state?.queueConnected === true ? 1 : 0],
    ];
  });
  gauge(
    'orchestrator_queued_runs',
    'Executions that have not begun: in the queue, or waiting for room in it',
    fact(({ queued }) => queued),
  );
  gauge(
    'orchestrator_stuck_runs',
    'Executions under way that have not moved for ten minutes',
    fact(({ stuck }) => stuck),
  );
  gauge(
    'orchestrator_workers_alive',
    `Workers that gave a sign of life within ${ALIVE_SECONDS} seconds`,
    fact(({ workers }) => workers.filter(({ alive }) => alive).length),
  );
  gauge(
    'orchestrator_sweep_age_seconds',
    'How long ago the last pass of the dispatcher and reconciler ended, in whichever worker; not told before the first',
    fact(({ sweep }) => sweep?.ageSeconds),
  );
  gauges('orchestrator_lane_jobs', 'Jobs of a lane, by what they do', ['lane', 'state'], async () =>
    ((await engine())?.lanes ?? []).flatMap(({ lane, depth, active, delayed, blocked }) => [
      [{ lane, state: 'waiting' }, depth],
      [{ lane, state: 'active' }, active],
      [{ lane, state: 'delayed' }, delayed],
      [{ lane, state: 'blocked' }, blocked],
    ]),
  );
  gauges(
    'orchestrator_lane_oldest_waiting_seconds',
    'Age of the oldest of the jobs that are next in a lane, from when it was added; 0 when none waits',
    ['lane'],
    async () =>
      ((await engine())?.lanes ?? []).map(({ lane, oldestWaitingSeconds }) => [{ lane }, oldestWaitingSeconds ?? 0]),
  );
  gauges('orchestrator_lane_workers', 'Workers alive that serve a lane', ['lane'], async () => {
    const state = await engine();
    return state?.databaseConnected === true ? state.lanes.map(({ lane, workers }) => [{ lane }, workers]) : [];
  });
}
