/** Why a run is not finished, or why it ended as it did: decided from its facts. Pure. */

import {
  byWeight,
  type Cause,
  cause,
  type Explanation,
  isBroken,
  listed,
  orNull,
  span,
  type TaskCause,
} from '../../domain/health/why-causes.ts';
import { SAGA } from '../../domain/runs/saga.ts';
import type { ActionFact, RunFacts } from './facts.ts';
import { faultOfLane, faultOfRun } from './why-faults.ts';
import {
  databaseBlocked,
  jobsMissing,
  laneCause,
  noWorker,
  PASS_LATE_MS,
  queueFull,
  queueNotWritable,
  queueUnreachable,
} from './why-jobs.ts';
import { taskCauses } from './why-tasks.ts';

const TASKS_LISTED = 20;

export function explain(facts: RunFacts): Explanation {
  if (facts.run.final) return ended(facts);
  const open = openTasks(facts);
  const root = runCause(facts, open.tasks);
  return { finished: false, summary: summaryOf(facts, root, open.tasks), root, ...open };
}

/** What could go on comes first; of what waits for others as many as there is room for. */
function openTasks(facts: RunFacts): { tasks: TaskCause[]; more: number } {
  const { tasks } = facts;
  if (tasks === undefined) return { tasks: [], more: 0 };
  const open = facts.actions.filter(({ actionId }) => tasks.get(actionId)?.final !== true);
  const isOpen = new Set(open.map(({ actionId }) => actionId));
  const ready = open.filter(({ dependsOn }) => !dependsOn.some((id) => isOpen.has(id)));
  const isReady = new Set(ready);
  const found = ready.map((action) => describeTask(facts, action, []));
  found.sort((a, b) => byWeight(a.cause, b.cause));
  const listedReady = found.slice(0, TASKS_LISTED);
  const rest = open.filter((action) => !isReady.has(action)).slice(0, TASKS_LISTED - listedReady.length);
  const byId = new Map(open.map((action) => [action.actionId, action]));
  const blocked = rest.map((action) => describeTask(facts, action, firstOpen(action, byId)));
  const shown = [...listedReady, ...blocked];
  return { tasks: shown, more: open.length - shown.length };
}

function describeTask(facts: RunFacts, action: ActionFact, waitsFor: readonly string[]): TaskCause {
  const fault = waitsFor.length > 0 ? undefined : faultOfLane(facts, action.actionType);
  const [first, ...also] = [...(fault === undefined ? [] : [fault]), ...taskCauses(facts, action, waitsFor)];
  if (first === undefined) throw new Error('a task without a cause');
  const { actionId, actionType } = action;
  return { actionId, actionType, status: facts.tasks?.get(actionId)?.status ?? 'pending', cause: first, also };
}

/** The open ones above it that wait for nothing themselves. */
function firstOpen(action: ActionFact, open: ReadonlyMap<string, ActionFact>): string[] {
  const seen = new Set<string>();
  const found: string[] = [];
  const queue = action.dependsOn.filter((id) => open.has(id));
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    if (seen.has(id)) continue;
    seen.add(id);
    const above = (open.get(id)?.dependsOn ?? []).filter((next) => open.has(next));
    if (above.length === 0) found.push(id);
    queue.push(...above);
  }
  return found.sort();
}

function runCause(facts: RunFacts, tasks: readonly TaskCause[]): Cause {
  const { run, now } = facts;
  const fault = faultOfRun(facts);
  if (fault !== undefined) return fault;
  if (facts.tasks === undefined) {
    return databaseBlocked(facts.blocked ?? { sessions: 0, longestMs: 0, by: [] }, now);
  }
  if (run.status === 'paused') return paused(facts);
  const waitsOutside = run.status === 'pending' ? notInQueue(facts) : undefined;
  if (waitsOutside !== undefined) return waitsOutside;
  const heaviest = [...tasks].sort((a, b) => byWeight(a.cause, b.cause))[0]?.cause ?? ending(facts);
  if (isBroken(heaviest.code)) return heaviest;
  if (run.status === 'cancelling') return cancelling(facts, tasks);
  if (run.status === 'compensating') return compensating(facts);
  return heaviest;
}

function paused({ run, now }: RunFacts): Cause {
  const { paused: pausedBy, pausedWith, workflowStatus } = run;
  const by = pausedBy?.by === undefined ? '' : ` by ${pausedBy.by}`;
  const reason = pausedBy?.reason === undefined ? '' : `: ${pausedBy.reason}`;
  const workflow = workflowStatus === 'paused' ? ' Its workflow is paused too.' : '';
  return cause(
    'run_paused',
    `It is paused${pausedWith === undefined ? '' : ` with the execution ${pausedWith}, which waits for it,`}${by}${pausedBy === undefined ? '' : `, for ${span(now - pausedBy.at)}`}${reason}.${workflow}`,
    `Resume ${pausedWith === undefined ? 'it' : 'that one'}: POST /workflows/executions/${pausedWith ?? run.id}/resume.`,
    {
      data: {
        by: orNull(pausedBy?.by),
        reason: orNull(pausedBy?.reason),
        workflow_status: orNull(workflowStatus),
        ...(pausedWith === undefined ? {} : { paused_with: pausedWith }),
      },
      since: pausedBy?.at,
    },
  );
}

/** A run that the dispatcher has not added to the queue, and why; undefined: it is there after all. */
function notInQueue(facts: RunFacts): Cause | undefined {
  const { run, now, window, group } = facts;
  if (run.dueAt !== undefined) {
    return cause(
      'run_delayed',
      `It begins in ${span(run.dueAt - now)}, as it was asked to.`,
      'Nothing: it begins by itself.',
      { since: run.createdAt, until: run.dueAt },
    );
  }
  if (group !== undefined) {
    return cause(
      'concurrency',
      `Of the runs with the concurrency key '${group.key}' only ${group.limit} may be under way: ${listed(group.holders)} ${group.holders.length === 1 ? 'holds the place' : 'hold the places'}, and ${group.behind} wait before it.`,
      'Nothing: it begins when one of them has ended. Look at why they have not.',
      {
        data: { key: group.key, limit: group.limit, holders: [...group.holders], ahead: group.behind },
        since: run.createdAt,
      },
    );
  }
  if ([...facts.jobs.values()].some(({ state }) => state !== 'missing')) return undefined;
  if (!facts.queueReachable) return queueUnreachable(facts);
  if (facts.queueRejects !== undefined) return queueNotWritable(facts.queueRejects);
  if (facts.queueFull) return queueFull(facts);
  if (!facts.workers.some(({ alive }) => alive)) return noWorker(facts);
  if (facts.lastPass === undefined || now - facts.lastPass.at > PASS_LATE_MS) return reconcilerStopped(facts);
  if (window !== undefined && window.used >= window.size) {
    return cause(
      'admission_window',
      `${window.used} runs are in the queue, as many as there may be: ${window.ahead} runs of this tenant come before it.`,
      'Nothing: it begins in its turn. ADMISSION_WINDOW is how many there may be, TENANT_WEIGHTS how large the share of a tenant.',
      {
        data: { window: window.size, in_queue: window.used, of_tenant: window.ofTenant, ahead: window.ahead },
        since: run.createdAt,
      },
    );
  }
  return cause(
    'not_dispatched',
    `It was accepted ${span(now - run.createdAt)} ago and is not in the queue yet: the dispatcher gives it there within seconds.`,
    'Nothing, unless it stays so.',
    { since: run.createdAt, until: now + 5_000 },
  );
}

function reconcilerStopped({ lastPass, now }: RunFacts): Cause {
  return cause(
    'sweep_stopped',
    `The dispatcher and reconciler ${lastPass === undefined ? 'have never passed' : `passed last ${span(now - lastPass.at)} ago`}, although workers are alive.`,
    'Look for `background_work_failed` in the logs of the workers: the message there is the cause.',
    { data: { worker: orNull(lastPass?.worker) }, since: lastPass?.at },
  );
}

/** Every action is final, and the run is not. */
function ending(facts: RunFacts): Cause {
  const job = facts.finalizer;
  if (job === undefined)
    return facts.queueReachable
      ? cause('ending', 'All of its actions are final: it ends in a moment.', 'Nothing.')
      : queueUnreachable(facts);
  if (job.state === 'waiting')
    return laneCause(facts, 'runs', job.ahead) ?? cause('ending', 'Its end waits for a worker.', 'Nothing.');
  if (job.state === 'missing' || job.state === 'failed' || job.state === 'completed')
    return jobsMissing(facts, '~end', job.state);
  return cause('ending', 'All of its actions are final: it ends in a moment.', 'Nothing.', {
    data: { job_state: job.state },
  });
}

function cancelling({ run, now }: RunFacts, tasks: readonly TaskCause[]): Cause {
  const under = tasks.filter(({ status }) => status === 'running').map(({ actionId }) => actionId);
  const cancelledBy = run.cancelling;
  const waits = under.length === 0 ? 'it ends in a moment' : `${listed(under)} must stop first`;
  return cause(
    'cancelling',
    `It is being cancelled${cancelledBy?.by === undefined ? '' : ` by ${cancelledBy.by}`}${run.cancelReason === undefined ? '' : ` (${run.cancelReason})`}: ${waits}.`,
    'Nothing: adapters that run have been told to stop; what does not is given up after half a minute.',
    {
      data: { by: orNull(cancelledBy?.by), reason: orNull(run.cancelReason), waits_for: under.slice(0, 20) },
      since: cancelledBy?.at ?? now,
    },
  );
}

function compensating({ parts, tasks }: RunFacts): Cause {
  const steps = parts.get(SAGA) ?? { total: 0, open: 0 };
  const done = steps.total - steps.open;
  const failing = [...(tasks ?? [])].find(
    ([id, task]) => id.startsWith(SAGA) && !task.final && task.error !== undefined,
  );
  return cause(
    'compensating',
    `What it did is being undone: ${done} of ${steps.total} steps are done.${failing === undefined ? '' : ` The next one failed last with ${failing[1].error?.code}: ${failing[1].error?.message}`}`,
    'Nothing: it ends when all is undone. A step that keeps failing is in its error.',
    {
      data: { done, total: steps.total, error: failing?.[1].error === undefined ? null : { ...failing[1].error } },
    },
  );
}

function ended(facts: RunFacts): Explanation {
  const root = endCause(facts);
  return { finished: true, summary: root.message, root, tasks: [], more: 0 };
}

function endCause(facts: RunFacts): Cause {
  const { run } = facts;
  const since = run.finishedAt;
  const failed = firstFailed(facts);
  switch (run.status) {
    case 'completed':
      return cause('completed', 'It has completed.', 'Nothing.', { since });
    case 'cancelled': {
      const { by } = run.cancelling ?? {};
      return cause(
        'cancelled',
        `It was cancelled${by === undefined ? '' : ` by ${by}`}${run.cancelReason === undefined ? '' : `: ${run.cancelReason}`}.`,
        `Nothing; POST /workflows/executions/${run.id}/retry goes on with it.`,
        { data: { by: orNull(by), reason: orNull(run.cancelReason) }, since },
      );
    }
    case 'timed_out':
      return cause(
        'timed_out',
        `It was not done by its deadline and was ended.${failed === undefined ? '' : ` Before that '${failed.actionId}' had failed.`}`,
        `See what took so long, raise timeout_seconds, and go on with it: POST /workflows/executions/${run.id}/retry.`,
        { data: { ...failedData(run.id, failed) }, times: { deadline: run.deadlineAt }, since },
      );
    case 'compensated':
    case 'compensation_failed': {
      const what =
        run.status === 'compensated' ? 'what it had done was undone' : 'what it had done could not all be undone';
      return cause(
        run.status,
        `${failed === undefined ? 'It was cancelled' : `'${failed.actionId}' failed (${failed.error.code}: ${failed.error.message})`}, and ${what}.`,
        `Mend the cause, then POST /workflows/executions/${run.id}/retry.`,
        { data: failedData(run.id, failed), since },
      );
    }
    default: {
      if (failed === undefined)
        return cause('failed', 'It failed; no action says why.', 'Look at its events.', { since });
      return cause(
        'task_failed',
        `'${failed.actionId}' failed after ${failed.attempts} attempts (${failed.error.code}: ${failed.error.message}).`,
        `Mend the cause, then POST /workflows/executions/${run.id}/retry; it is among the dead letters (GET /infrastructure/dlq) until then.`,
        { data: failedData(run.id, failed), since },
      );
    }
  }
}

interface Failed {
  actionId: string;
  attempts: number;
  worker: string | undefined;
  error: { code: string; message: string };
}

function firstFailed({ tasks }: RunFacts): Failed | undefined {
  const failures = [...(tasks ?? [])]
    .filter(([, { status, tolerated }]) => status === 'failed' && !tolerated)
    .sort(([, a], [, b]) => (a.finishedAt ?? 0) - (b.finishedAt ?? 0));
  const [first] = failures;
  if (first === undefined) return undefined;
  const [actionId, { attempts, worker, error }] = first;
  return { actionId, attempts, worker, error: error ?? { code: 'unknown', message: 'it did not say' } };
}

function failedData(runId: string, failed: Failed | undefined) {
  if (failed === undefined) return {};
  const { actionId, attempts, worker, error } = failed;
  return {
    action_id: actionId,
    attempts,
    worker: orNull(worker),
    error: { ...error },
    dead_letter: `${runId}/${actionId}`,
  };
}

function summaryOf({ run, now }: RunFacts, root: Cause, tasks: readonly TaskCause[]): string {
  const of = tasks.find((task) => task.cause === root);
  const where = of === undefined ? '' : `Action '${of.actionId}': `;
  const since = root.since === undefined ? '' : ` (for ${span(now - root.since)})`;
  return `The execution is ${run.status}${since}. ${where}${root.message}`;
}
