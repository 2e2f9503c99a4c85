/** Problems of the system and of one lane: read from the stores, decided by the domain. */
import { OrchestratorError } from '../../domain/errors.ts';
import { isQueueFull, type QueueUse } from '../../domain/fairness/queue-room.ts';
import { visibleFaults } from '../../domain/health/fault-problems.ts';
import type { EngineHealth, LaneHealth } from '../../engine/health/engine-health.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { lanesOf } from './explain-run.ts';
import type { WhyStore } from './ports.ts';
import { type Problem, type SystemFacts, systemProblems } from './system-problems.ts';

export interface SystemProblems {
  /** Never rejects. */
  find(caller: Pick<Caller, 'tenantId'>): Promise<Problem[]>;
  /** 404 for a lane that there is not. */
  ofLane(caller: Pick<Caller, 'tenantId'>, lane: string): Promise<LaneExplanation>;
}

export interface LaneExplanation {
  lane: string;
  status: 'moving' | 'idle' | 'held';
  summary: string;
  paused: boolean;
  counts: LaneHealth | null;
  workers: string[];
  problems: Problem[];
}

export interface SystemProblemsDeps {
  store: Pick<WhyStore, 'surroundings'>;
  engine: Pick<EngineHealth, 'report'>;
  /** Why row-level security does not hold; undefined: it does. */
  isolationGap(): Promise<string | undefined>;
  queueUse(): QueueUse | undefined;
  /** The queue's own word for why it takes no writes. */
  queueRejects(): string | undefined;
  /** All there are. */
  lanes: readonly string[];
  version: string;
  /** Milliseconds, of the clock of this process. */
  now(): number;
}

/** Of these each lane suffers. */
const OF_ALL_LANES: ReadonlySet<string> = new Set([
  'database_unreachable',
  'database_not_usable',
  'statements_failing',
  'database_blocked',
  'queue_unreachable',
  'queue_not_writable',
  'no_worker',
]);

export function createSystemProblems(deps: SystemProblemsDeps): SystemProblems {
  async function problemsFor(caller: Pick<Caller, 'tenantId'>): Promise<[Problem[], SystemFacts | undefined]> {
    const facts = await factsOf(caller);
    const { faults } = await deps.engine.report();
    return [systemProblems(facts, visibleFaults(faults, caller.tenantId)), facts];
  }
  async function factsOf({ tenantId }: Pick<Caller, 'tenantId'>): Promise<SystemFacts | undefined> {
    const before = deps.now();
    const [around, report, isolationGap] = await Promise.all([
      deps.store
        .surroundings(tenantId)
        // What the question took is nobody's clock.
        .then((found) => ({ ...found, skewMs: skewOf(before, deps.now(), found.now) }))
        .catch(() => undefined),
      deps.engine.report(),
      // A database that does not answer is reported as such.
      deps.isolationGap().catch(() => undefined),
    ]);
    if (around === undefined) return undefined;
    const use = deps.queueUse();
    return {
      ...around,
      faults: visibleFaults(report.faults, tenantId),
      lanes: lanesOf(report.lanes, around.paused, tenantId),
      stuck: report.stuck,
      isolationGap: isolationGap,
      queueReachable: report.queueConnected,
      queueRejects: deps.queueRejects(),
      queueUse: use,
      queueFull: isQueueFull(use),
      version: deps.version,
    };
  }
  return {
    async find(caller) {
      const [problems] = await problemsFor(caller);
      return problems;
    },
    async ofLane(caller, lane) {
      if (!deps.lanes.includes(lane)) throw new OrchestratorError('not_found', 'Lane not found');
      const [[all, facts], report] = await Promise.all([problemsFor(caller), deps.engine.report()]);
      const failing = report.faults.filter(({ lanes }) => lanes.includes(lane)).map(({ firstAt }) => firstAt);
      const problems = all.filter(
        ({ code, lane: of, since }) =>
          of === lane || OF_ALL_LANES.has(code) || (code === 'deliveries_failing' && failing.includes(since ?? 0)),
      );
      const counts = report.lanes.find((one) => one.lane === lane) ?? null;
      const workers = (facts?.workers ?? []).filter((one) => one.alive && one.lanes.includes(lane)).map(({ id }) => id);
      const [first] = problems;
      const idle = counts !== null && counts.depth === 0 && counts.active === 0;
      const summary =
        first?.message ??
        (idle
          ? `Nothing waits in the lane '${lane}'.`
          : `The lane '${lane}' moves: ${counts?.active ?? 'unknown'} tasks run on ${workers.length} workers, ${counts?.depth ?? 'unknown'} wait.`);
      return {
        lane,
        status: first !== undefined ? 'held' : idle ? 'idle' : 'moving',
        summary,
        paused: facts?.lanes.get(lane)?.paused !== undefined,
        counts,
        workers,
        problems,
      };
    },
  };
}

/** 0 where what the question took may be all of it. */
function skewOf(before: number, after: number, database: number): number {
  if (database >= before && database <= after) return 0;
  return database < before ? before - database : after - database;
}
