/** What the queue and its workers say of a task that could go on. Pure. */

import { fullnessOf, shareOf } from '../../domain/fairness/queue-room.ts';
import type { JobFact } from '../../domain/health/job-fact.ts';
import { RECONCILE_LATE_SECONDS } from '../../domain/health/liveness.ts';
import { todoOfNotWritable, whyNotWritable } from '../../domain/health/queue-not-writable.ts';
import { type Cause, cause, listed, orNull, span } from '../../domain/health/why-causes.ts';
import type { ActionFact, RunFacts, TaskFact } from './facts.ts';

export const PASS_LATE_MS = RECONCILE_LATE_SECONDS * 1_000;

export const QUEUE_BACK =
  'Bring the store of the queue back: its Redis, or where none is set its tables in PostgreSQL.';

/** Its job is in nobody's hands any more, or in those of somebody who says nothing. */
export function workerLost(
  facts: RunFacts,
  lane: string,
  task: TaskFact | undefined,
  job: JobFact | undefined,
): Cause | undefined {
  if (job?.state !== 'active') return undefined;
  const worker = facts.workers.find(({ id }) => id === task?.worker);
  const unresponsive = worker !== undefined && !worker.alive;
  if (job.lockLeftMs !== null && !unresponsive) return undefined;
  // Its worker is there, and could not renew its lock.
  if (!unresponsive && facts.queueRejects !== undefined) return queueNotWritable(facts.queueRejects);
  if (!unresponsive && facts.queueFull) return queueFull(facts);
  const others = facts.workers.filter(
    ({ alive, id, lanes }) => alive && id !== task?.worker && lanes.includes(lane),
  ).length;
  const left = job.lockLeftMs ?? 0;
  const until = left > 0 ? facts.now + left : undefined;
  return cause(
    'worker_lost',
    left > 0
      ? `Worker ${task?.worker ?? 'unknown'}, which has it, has not been heard of for ${span(facts.now - (worker?.seenAt ?? facts.now))}; its lock runs out in ${span(left)}.`
      : `Worker ${task?.worker ?? 'unknown'}, which had it, does not hold its lock any more: it has ended, stands still or is cut off.`,
    others > 0
      ? 'Nothing: another worker takes the task within seconds after the lock has run out, with the same idempotency key.'
      : 'Start a worker that serves this lane: it takes the task over, with the same idempotency key.',
    {
      data: { worker: orNull(task?.worker), other_workers: others },
      times: { worker_seen_at: worker?.seenAt, lock_until: until },
      since: worker?.seenAt ?? task?.updatedAt,
      until,
    },
  );
}

/** What the queue says of a task that could go on. Undefined: its job is as its row says. */
export function jobCause(
  facts: RunFacts,
  action: ActionFact,
  task: TaskFact | undefined,
  job: JobFact | undefined,
): Cause | undefined {
  const { now } = facts;
  const sleeps = task?.status === 'waiting' || task?.status === 'retrying';
  if (job === undefined)
    return task?.status === 'running' || facts.queueReachable ? undefined : queueUnreachable(facts);
  // What runs is committed all the same; what sleeps has its own reason as long as it is not due.
  if (facts.queueRejects !== undefined && !sleeps && task?.status !== 'running')
    return queueNotWritable(facts.queueRejects);
  switch (job.state) {
    case 'missing':
    case 'completed':
    case 'failed':
      // Whoever runs it commits what comes of it; the queue does not matter.
      if (task?.status === 'running' && facts.workers.some(({ id, alive }) => alive && id === task.worker))
        return undefined;
      return jobsMissing(facts, action.actionId, job.state);
    case 'waiting-children':
      if (sleeps) return undefined;
      return cause(
        'held_in_queue',
        'All that it waits for is final, and yet its job waits for others in the queue.',
        `The reconciler removes what holds it, at its next look. \`npm run doctor -- --repair\` does it now.`,
        {
          data: { job_state: job.state },
          since: task?.updatedAt,
          until: facts.run.checkAt,
        },
      );
    case 'delayed': {
      if (sleeps || task?.status === 'running') return undefined;
      return delayed(facts, action, job);
    }
    case 'active': {
      if (task?.status === 'running') return undefined;
      const lost = workerLost(facts, action.actionType, task, job);
      if (lost !== undefined) return lost;
      if (facts.blocked !== undefined) return databaseBlocked(facts.blocked, now);
      return cause('starting', 'A worker has just taken it.', 'Nothing.', { data: {} });
    }
    case 'waiting':
      return laneCause(facts, action.actionType, job.ahead);
  }
}

export function delayed(facts: RunFacts, action: ActionFact, job: JobFact): Cause {
  const ready = readyAt(facts, action);
  if (action.delayMs > 0) {
    const until = ready + action.delayMs;
    return cause(
      'delay',
      `Its delay_seconds are not over: another ${span(until - facts.now)}.`,
      'Nothing: it begins by itself.',
      { data: { delay_seconds: action.delayMs / 1000 }, since: ready, until },
    );
  }
  const serving = facts.workers.filter(({ alive, lanes }) => alive && lanes.includes(action.actionType));
  const others = [...new Set(serving.map(({ version }) => version))].filter((version) => version !== facts.version);
  if (serving.length > 0 && others.length > 0) {
    return cause(
      'worker_too_old',
      `Workers of another version (${others.join(', ')}) put it back: this is version ${facts.version}.`,
      'Bring all workers to the same version.',
      { data: { worker_versions: others, version: facts.version }, since: ready },
    );
  }
  if (serving.length === 0) return laneCause(facts, action.actionType, undefined) ?? unknown(facts);
  const until = job.delayMs === undefined ? undefined : facts.now + job.delayMs;
  return cause('woken', 'It was put off for a moment and comes back by itself.', 'Nothing, unless it stays so.', {
    since: ready,
    until,
  });
}

export function readyAt(facts: RunFacts, action: ActionFact): number {
  return action.dependsOn.reduce(
    (latest, id) => Math.max(latest, facts.tasks?.get(id)?.finishedAt ?? 0),
    facts.run.createdAt,
  );
}

/** Its job waits in the lane for somebody to take it. */
export function laneCause(facts: RunFacts, lane: string, ahead: number | undefined): Cause | undefined {
  const alive = facts.workers.filter((worker) => worker.alive);
  const serving = alive.filter(({ lanes }) => lanes.includes(lane));
  const fact = facts.lanes.get(lane);
  const data = {
    lane,
    ahead: orNull(ahead),
    workers: serving.length,
    depth: orNull(fact?.depth),
    active: orNull(fact?.active),
  };
  if (fact?.paused !== undefined) {
    const { by, reason, since } = fact.paused;
    return cause(
      'lane_paused',
      `The lane '${lane}' is paused${by === null ? '' : ` by ${by}`}, for ${span(facts.now - since)}${reason === null ? '' : `: ${reason}`}.`,
      `Resume it: POST /lanes/${lane}/resume.`,
      { data: { ...data, by, reason }, since },
    );
  }
  if (alive.length === 0) return noWorker(facts);
  if (serving.length === 0) {
    return cause(
      'lane_without_worker',
      `No worker serves the lane '${lane}': those alive serve ${listed([...new Set(alive.flatMap(({ lanes }) => lanes))])}.`,
      `Start a worker with '${lane}' among its WORKER_LANES.`,
      { data },
    );
  }
  if (facts.blocked !== undefined) return databaseBlocked(facts.blocked, facts.now);
  return cause(
    'lane_busy',
    `${ahead === undefined ? 'It waits' : `${ahead} jobs come before it`} in the lane '${lane}', which ${serving.length} workers serve${fact?.active === undefined ? '' : ` (${fact.active} tasks run)`}.`,
    'Nothing, or more workers: all that serve the lane are busy, or its rate limit holds it.',
    { data },
  );
}

export function noWorker(facts: RunFacts): Cause {
  const last = facts.workers.reduce<number | undefined>(
    (latest, { seenAt }) => Math.max(latest ?? 0, seenAt),
    undefined,
  );
  return cause(
    'no_worker',
    last === undefined
      ? 'No worker has ever been heard of, or all have said farewell.'
      : `No worker is alive; the last one was heard of ${span(facts.now - last)} ago.`,
    'Start workers: `npm run worker`.',
    { data: {}, since: last },
  );
}

export function jobsMissing(facts: RunFacts, actionId: string, state: string): Cause {
  const { now, run, lastPass } = facts;
  const reconciles =
    lastPass !== undefined && now - lastPass.at < PASS_LATE_MS && facts.workers.some(({ alive }) => alive);
  const lost = state === 'missing' ? 'is not in the queue' : `has ended in the queue (${state}) without an outcome`;
  return cause(
    'jobs_missing',
    `The job of '${actionId}' ${lost}: the queue has lost it.`,
    reconciles
      ? 'Nothing: the reconciler adds it again at its next look. `npm run doctor -- --repair` does it now.'
      : 'Start a worker: the reconciler, which adds it again, is part of every worker. `npm run doctor -- --repair` does it now.',
    {
      data: { action_id: actionId, job_state: state, reconciler_runs: reconciles },
      times: { last_pass_at: lastPass?.at },
      until: reconciles ? Math.max(run.checkAt, now) : undefined,
    },
  );
}

/** Without Redis the queue is in the database: whoever locks its tables blocks everybody, and can be named. */
export function queueUnreachable({ blocked, now }: Pick<RunFacts, 'blocked' | 'now'>): Cause {
  if (blocked !== undefined) return databaseBlocked(blocked, now);
  return cause(
    'queue_unreachable',
    'The store of the queue does not answer, so nothing is begun.',
    `${QUEUE_BACK} What was in it is rebuilt from PostgreSQL; nothing has to be done about the runs.`,
  );
}

export function queueFull({ queueUse, run }: RunFacts): Cause {
  return cause(
    'queue_full',
    `The store of the queue uses ${queueUse === undefined ? 'all of its memory' : fullnessOf(queueUse)}: nothing is added to it.`,
    'Give Redis more memory (maxmemory), or find what else fills it. Runs begin by themselves when there is room.',
    {
      data: {
        memory_use: queueUse === undefined ? null : shareOf(queueUse),
        used_bytes: orNull(queueUse?.usedBytes),
        max_bytes: orNull(queueUse?.maxBytes),
      },
      since: run.createdAt,
    },
  );
}

export function queueNotWritable(word: string): Cause {
  return cause('queue_not_writable', whyNotWritable(word), todoOfNotWritable(word), { data: { rejected_with: word } });
}

export function databaseBlocked(blocked: NonNullable<RunFacts['blocked']>, now: number): Cause {
  const { sessions, longestMs, by } = blocked;
  return cause(
    'database_blocked',
    `${sessions} statements of workers have waited for a lock of the database for up to ${span(longestMs)}, held by ${by.length === 0 ? 'somebody unknown' : by.join(', ')}: what they have to write is held back.`,
    'Find the session that holds the lock (pg_stat_activity, pg_locks) and end it. What is held back is committed then.',
    {
      data: { waiting_sessions: sessions, held_by: [...by] },
      since: now - longestMs,
    },
  );
}

export function unknown(facts: RunFacts): Cause {
  return facts.queueReachable
    ? cause('starting', 'It may begin now, and was not looked for in the queue.', 'Nothing, unless it stays so.')
    : queueUnreachable(facts);
}
