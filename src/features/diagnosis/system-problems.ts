/** Decides which problems the system has, each with what to do about it. Pure. */

import { fullnessOf } from '../../domain/fairness/queue-room.ts';
import { FAULT_CODES, problemsOfFaults } from '../../domain/health/fault-problems.ts';
import { SKEW_MS } from '../../domain/health/liveness.ts';
import { todoOfNotWritable, whyNotWritable } from '../../domain/health/queue-not-writable.ts';
import type { FaultGroup } from '../../domain/health/system-faults.ts';
import { listed, span } from '../../domain/health/why-causes.ts';
import type { Surroundings } from './facts.ts';
import { PASS_LATE_MS, QUEUE_BACK } from './why-jobs.ts';

export const PROBLEM_CODES = [
  'database_unreachable',
  ...FAULT_CODES,
  'database_blocked',
  'queue_unreachable',
  'queue_not_writable',
  'queue_full',
  'no_worker',
  'sweep_stopped',
  'lane_without_worker',
  'lane_paused',
  'runs_stuck',
  'worker_silent',
  'mixed_versions',
  'clock_skew',
  'row_level_security_off',
  'circuit_open',
  'dependency_unhealthy',
] as const;
export type ProblemCode = (typeof PROBLEM_CODES)[number];

export interface Problem {
  code: ProblemCode;
  message: string;
  since?: number | undefined;
  todo: string;
  /** Of one lane alone. */
  lane?: string;
}

export interface SystemFacts extends Surroundings {
  now: number;
  /** Live runs of which nothing has moved for long. */
  stuck: number;
  /** How far the clock of this process is from the database's. */
  skewMs: number;
  /** Why row-level security does not hold; undefined: it does. */
  isolationGap: string | undefined;
}

/** A worker that ended without deregistering is reported for so long. */
const UNRESPONSIVE_FOR_MS = 300_000;

/** `faults`: where the database does not say more, or rejects to. */
export function systemProblems(facts: SystemFacts | undefined, faults: readonly FaultGroup[] = []): Problem[] {
  if (facts === undefined && faults.some(({ kind }) => kind !== 'connection' && kind !== 'work'))
    return problemsOfFaults(faults);
  if (facts === undefined) {
    const message = 'The database does not answer: nothing is accepted, and no outcome is committed.';
    return [
      {
        code: 'database_unreachable',
        message,
        todo: 'Bring PostgreSQL (DATABASE_URL) back. Workers hold what they have and go on by themselves.',
      },
    ];
  }
  return [
    ...problemsOfFaults(facts.faults),
    ...ofStores(facts),
    ...ofWorkers(facts),
    ...ofLanes(facts),
    ...ofRest(facts),
  ];
}

function* ofStores({
  now,
  blocked,
  queueReachable,
  queueRejects,
  queueFull,
  queueUse,
}: SystemFacts): Generator<Problem> {
  if (blocked !== undefined) {
    const message = `${blocked.sessions} statements of workers wait for a lock of the database, held by ${blocked.by.join(', ') || 'somebody unknown'}.`;
    yield {
      code: 'database_blocked',
      message,
      since: now - blocked.longestMs,
      todo: 'Find that session in pg_stat_activity and end it.',
    };
  }
  if (!queueReachable) {
    yield {
      code: 'queue_unreachable',
      message: 'The store of the queue does not answer: nothing is begun.',
      todo: `${QUEUE_BACK} What was in it is rebuilt from PostgreSQL.`,
    };
  }
  if (queueReachable && queueRejects !== undefined) {
    yield {
      code: 'queue_not_writable',
      message: whyNotWritable(queueRejects),
      todo: todoOfNotWritable(queueRejects),
    };
  }
  if (queueFull) {
    yield {
      code: 'queue_full',
      message: `The store of the queue uses ${queueUse === undefined ? 'all of its memory' : fullnessOf(queueUse)}: nothing is added to it.`,
      todo: 'Give Redis more memory (maxmemory), or find what else fills it.',
    };
  }
}

function* ofWorkers({ now, workers, lastPass, version }: SystemFacts): Generator<Problem> {
  const alive = workers.filter((worker) => worker.alive);
  if (alive.length === 0) {
    const last = workers.length === 0 ? undefined : Math.max(...workers.map(({ seenAt }) => seenAt));
    yield {
      code: 'no_worker',
      message: 'No worker is alive: nothing is executed.',
      since: last,
      todo: 'Start workers: `npm run worker`.',
    };
  } else if (lastPass === undefined || now - lastPass.at > PASS_LATE_MS) {
    const when = lastPass === undefined ? 'have never passed' : `passed last ${span(now - lastPass.at)} ago`;
    yield {
      code: 'sweep_stopped',
      message: `The dispatcher and reconciler ${when}.`,
      since: lastPass?.at,
      todo: 'Look for `background_work_failed` in the logs of the workers.',
    };
  }
  const unresponsive = workers.filter((worker) => !worker.alive && now - worker.seenAt < UNRESPONSIVE_FOR_MS);
  for (const { id, seenAt } of unresponsive.slice(0, 10)) {
    yield {
      code: 'worker_silent',
      message: `Worker ${id} has not been heard of for ${span(now - seenAt)}, and did not say farewell.`,
      since: seenAt,
      todo: 'See whether it was killed, stands still or is cut off. Its tasks go to other workers.',
    };
  }
  const versions = [...new Set([version, ...alive.map((worker) => worker.version)])];
  if (versions.length > 1) {
    yield {
      code: 'mixed_versions',
      message: `Versions ${versions.join(', ')} are running side by side.`,
      todo: 'Fine during an upgrade; then bring all to one version.',
    };
  }
}

function* ofLanes({ lanes, workers, now }: SystemFacts): Generator<Problem> {
  const alive = workers.filter((worker) => worker.alive);
  for (const { lane, paused, depth } of lanes.values()) {
    if (paused !== undefined) {
      const by = paused.by === null ? '' : ` by ${paused.by}`;
      const reason = paused.reason === null ? '' : `: ${paused.reason}`;
      yield {
        code: 'lane_paused',
        lane,
        message: `The lane '${lane}' is paused${by}, for ${span(now - paused.since)}${reason}; ${depth ?? 'unknown'} jobs wait.`,
        since: paused.since,
        todo: `POST /lanes/${lane}/resume`,
      };
    }
    const serving = alive.some((worker) => worker.lanes.includes(lane));
    if (alive.length > 0 && !serving && (depth ?? 0) > 0) {
      yield {
        code: 'lane_without_worker',
        lane,
        message: `No worker serves the lane '${lane}': ${depth} jobs wait.`,
        todo: `Start a worker with '${lane}' among its WORKER_LANES.`,
      };
    }
  }
}

function* ofRest({ stuck, skewMs, isolationGap, circuits }: SystemFacts): Generator<Problem> {
  if (stuck > 0) {
    yield {
      code: 'runs_stuck',
      message: `${stuck} executions have not moved for ten minutes.`,
      todo: 'GET /executions/{id}/why of one of them; `npm run doctor` looks at all.',
    };
  }
  if (Math.abs(skewMs) > SKEW_MS) {
    yield {
      code: 'clock_skew',
      message: `The clock of this machine is ${span(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'} the database's.`,
      todo: 'Let NTP set both. Times that are stored are the database’s, so nothing is lost.',
    };
  }
  if (isolationGap !== undefined) {
    yield {
      code: 'row_level_security_off',
      message: `The second wall between tenants does not stand: ${isolationGap}. Queries are bound to the tenant without it too.`,
      todo: 'docs/security.md says how it is raised; then start the API again.',
    };
  }
  if (circuits.size > 0) {
    yield {
      code: 'circuit_open',
      message: `Circuits are not closed: ${listed([...circuits.keys()])}.`,
      since: Math.min(...[...circuits.values()].map(({ since }) => since)),
      todo: 'Mend these services; they are tried again by themselves.',
    };
  }
}
