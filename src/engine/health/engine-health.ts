/** The health of the engine as operators see it: lanes, workers, runs that do not move, and the reconciler. */

import { fullnessOf, isQueueFull, type QueueUse } from '../../domain/fairness/queue-room.ts';
import { ALIVE_SECONDS, RECONCILE_LATE_SECONDS, STUCK_AFTER_SECONDS } from '../../domain/health/liveness.ts';
import { type Fault, type FaultGroup, groupFaults } from '../../domain/health/system-faults.ts';

export interface LaneHealth {
  lane: string;
  /** Jobs that are ready for a worker. */
  depth: number;
  active: number;
  delayed: number;
  /** Jobs that wait for other jobs. */
  blocked: number;
  /** Of the next jobs; null: none waits. */
  oldestWaitingSeconds: number | null;
  /** Those that are alive and serve it. */
  workers: number;
}

export interface WorkerHealth {
  worker: string;
  alive: boolean;
  version: string;
  lanes: string[];
  activeTasks: number;
  loopLagMs: number;
  startedAt: Date;
  seenAt: Date;
}

export interface SweepHealth {
  worker: string;
  lastPassAt: Date;
  ageSeconds: number;
  durationMs: number;
  /** How long the most overdue run has waited for the reconciler. */
  lagSeconds: number;
  dispatched: number;
  checked: number;
  repaired: number;
  dispatchedTotal: number;
  repairedTotal: number;
  lastRepairAt: Date | null;
}

/** What the database knows. */
export interface EngineFacts {
  active: number;
  /** Not started: in the queue, or waiting for room in it. */
  queued: number;
  /** Live, and nothing of them has moved, slept or run for a while. */
  stuck: number;
  workers: WorkerHealth[];
  sweep: SweepHealth | null;
  /** What workers that are alive say of themselves. */
  faults: ReadonlyArray<Fault & { reporter: string }>;
}

export interface EngineHealthStore {
  facts(stuckAfterSeconds: number, aliveSeconds: number): Promise<EngineFacts>;
}

/** A worker's sign of life. */
export interface Heartbeat {
  id: string;
  lanes: readonly string[];
  version: string;
  activeTasks: number;
  /** The longest stop of its event loop since the heartbeat before. */
  loopLagMs: number;
  /** Of the process. */
  uptimeSeconds: number;
  /** What fails in it now. */
  faults: readonly Fault[];
}

export interface ReconcilePass {
  worker: string;
  durationMs: number;
  dispatched: number;
  checked: number;
  repaired: number;
}

export interface HeartbeatStore {
  record(heartbeat: Heartbeat): Promise<void>;
  remove(id: string): Promise<void>;
  /** Resolves to how long the most overdue run has waited to be checked, after the pass. */
  recordPass(pass: ReconcilePass): Promise<number>;
}

/** The queue's own count of its jobs. Rejects when the queue cannot be reached. */
export interface LaneDepths {
  depths(): Promise<Array<Omit<LaneHealth, 'workers'>>>;
}

export interface EngineHealthReport {
  status: 'healthy' | 'degraded' | 'unhealthy';
  databaseConnected: boolean;
  queueConnected: boolean;
  /** Runs under way, runs that have not begun, and runs that do not move. */
  active: number;
  queued: number;
  stuck: number;
  lanes: LaneHealth[];
  workers: WorkerHealth[];
  sweep: SweepHealth | null;
  /** In words, what else is not as it should be. */
  problems: string[];
  /** What fails now in this process and in workers that are alive, each cause once. */
  faults: FaultGroup[];
}

export interface EngineHealth {
  /** Cached for a second; never rejects. */
  report(): Promise<EngineHealthReport>;
}

const CACHE_MS = 1_000;
const NO_FACTS: EngineFacts = { active: 0, queued: 0, stuck: 0, workers: [], sweep: null, faults: [] };

export function createEngineHealth(deps: {
  store: EngineHealthStore;
  queue: LaneDepths;
  queueUse(): QueueUse | undefined;
  /** Of this process. */
  faults(): readonly Fault[];
  /** The database answers, and rejects the query. */
  isRejected(error: unknown): boolean;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}): EngineHealth {
  let cached: Promise<EngineHealthReport> | undefined;
  let at = Number.NEGATIVE_INFINITY;

  async function compute(): Promise<EngineHealthReport> {
    let rejected = false;
    const [facts, depths] = await Promise.all([
      deps.store.facts(STUCK_AFTER_SECONDS, ALIVE_SECONDS).catch((error: unknown) => {
        rejected = deps.isRejected(error);
        return undefined;
      }),
      deps.queue.depths().catch(() => undefined),
    ]);
    const { active, queued, stuck, workers, sweep, faults: reported } = facts ?? NO_FACTS;
    const faults = groupFaults([...deps.faults(), ...reported]);
    const alive = workers.filter((worker) => worker.alive);
    const lanes = (depths ?? []).map((lane) => ({
      ...lane,
      workers: alive.filter((worker) => worker.lanes.includes(lane.lane)).length,
    }));
    const problems = facts === undefined ? [] : problemsOf({ ...facts, workers: alive }, lanes);
    if (facts === undefined)
      problems.push(
        rejected ? 'the database rejects to be asked how its workers are' : 'the database cannot be reached',
      );
    if (depths === undefined) problems.push('the queue cannot be reached');
    const use = deps.queueUse();
    if (isQueueFull(use)) problems.push(`the queue uses ${fullnessOf(use)}: nothing is added to it`);
    const unusable = facts === undefined || faults.some(({ kind }) => kind === 'write_path');
    const isWell = problems.length + faults.length === 0;
    return {
      status: unusable ? 'unhealthy' : isWell ? 'healthy' : 'degraded',
      databaseConnected: facts !== undefined || rejected,
      queueConnected: depths !== undefined,
      active,
      queued,
      stuck,
      lanes,
      workers,
      sweep,
      problems,
      faults,
    };
  }

  return {
    report() {
      if (cached === undefined || deps.now() - at > CACHE_MS) {
        at = deps.now();
        cached = compute();
      }
      return cached;
    },
  };
}

function problemsOf({ workers, sweep, stuck }: EngineFacts, lanes: readonly LaneHealth[]): string[] {
  const problems: string[] = [];
  if (workers.length === 0) problems.push('no worker is alive');
  else if (sweep === null || sweep.ageSeconds > RECONCILE_LATE_SECONDS) {
    const since = sweep === null ? 'never' : `last ${Math.round(sweep.ageSeconds)} s ago`;
    problems.push(`the sweep does not pass: ${since}`);
  }
  for (const { lane, depth, workers: serving } of lanes) {
    if (depth > 0 && serving === 0 && workers.length > 0)
      problems.push(`nobody serves the lane '${lane}': ${depth} jobs wait`);
  }
  if (stuck > 0) problems.push(`${stuck} executions have not moved for ${STUCK_AFTER_SECONDS / 60} minutes`);
  return problems;
}
