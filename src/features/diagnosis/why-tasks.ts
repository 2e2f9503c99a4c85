/** Why one task is not final: from its row, its job and what it needs. Pure. */

import type { JobFact } from '../../domain/health/job-fact.ts';
import { type Cause, cause, listed, orNull, span } from '../../domain/health/why-causes.ts';
import { MAX_DELIVERIES, UNSUSPECTED_DELIVERIES } from '../../domain/runs/deliveries.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { ActionFact, ExternalFact, RunFacts, TaskFact } from './facts.ts';
import { databaseBlocked, jobCause, unknown, workerLost } from './why-jobs.ts';

/** Past its timeout it has been aborted; what it needs to stop. */
const TIMEOUT_MARGIN_MS = 5_000;
/** `waitsFor`: what it depends on and is not final. */
export function taskCauses(facts: RunFacts, action: ActionFact, waitsFor: readonly string[]): Cause[] {
  const task = facts.tasks?.get(action.actionId);
  if (waitsFor.length > 0) return [dependencies(waitsFor)];
  const job = facts.jobs.get(action.actionId);
  const own = rowCause(facts, action, task, job);
  const queue = jobCause(facts, action, task, job);
  if (own === undefined) return [queue ?? unknown(facts)];
  if (queue === undefined) return [own];
  // Somebody else brings it about, and what the queue has lost is found again by itself.
  return WAITS_FOR_HUMANS.has(own.code) ? [own, queue] : [queue, own];
}
const WAITS_FOR_HUMANS: ReadonlySet<string> = new Set(['approval', 'signal', 'external_no_worker', 'child_run']);

function dependencies(waitsFor: readonly string[]): Cause {
  return cause('dependencies', `It waits for ${listed(waitsFor)}.`, 'Nothing here: look at what it waits for.', {
    data: { waits_for: waitsFor.slice(0, 20), waits_for_total: waitsFor.length },
  });
}

/** What the row says: it runs, it sleeps, it is tried again. Undefined: it has not started, or is about to go on. */
function rowCause(
  facts: RunFacts,
  action: ActionFact,
  task: TaskFact | undefined,
  job: JobFact | undefined,
): Cause | undefined {
  switch (task?.status) {
    case 'running':
      return running(facts, action, task, job);
    case 'waiting':
      return waiting(facts, action, task, job);
    case 'retrying':
      return job?.state === 'waiting' || job?.state === 'active' ? undefined : retrying(facts, action, task, job);
    default:
      return undefined;
  }
}

function running(facts: RunFacts, action: ActionFact, task: TaskFact, job: JobFact | undefined): Cause {
  const { now } = facts;
  const since = task.startedAt ?? task.updatedAt;
  const worker = facts.workers.find(({ id }) => id === task.worker);
  const lost = workerLost(facts, action.actionType, task, job);
  if (lost !== undefined) return lost;
  if (facts.blocked !== undefined) return databaseBlocked(facts.blocked, now);
  if (task.deliveries > UNSUSPECTED_DELIVERIES) {
    return cause(
      'suspected_poison',
      `It was delivered ${task.deliveries} times without an outcome, and may be what ends its workers: it runs alone now, and is given up after ${MAX_DELIVERIES}.`,
      'Look at what the action does with this input: memory, endless loops, crashes of native code. Cancel the run if it is not to be tried further.',
      {
        data: {
          deliveries: task.deliveries,
          max_deliveries: MAX_DELIVERIES,
          isolated: true,
          worker: orNull(task.worker),
        },
        since,
      },
    );
  }
  const over = now - since - action.timeoutMs;
  const data = { worker: orNull(task.worker), attempt: task.attempts, timeout_seconds: action.timeoutMs / 1000 };
  if (over > TIMEOUT_MARGIN_MS) {
    return cause(
      'over_timeout',
      `It has run for ${span(now - since)}, ${span(over)} longer than its timeout allows, on worker ${task.worker ?? 'unknown'}.`,
      'Its adapter does not stop when it is told to. Look at that worker’s log; ending the worker gives the task to another one.',
      { data: { ...data, worker_alive: orNull(worker?.alive) }, since, until: undefined },
    );
  }
  const { progress } = task;
  const said = progress === undefined ? '' : ` It said last: ${progress.message ?? `${progress.percent ?? 0} %`}.`;
  return cause(
    'running',
    `It has run for ${span(now - since)} on worker ${task.worker ?? 'unknown'}, attempt ${task.attempts} of ${action.maxAttempts}.${said}`,
    'Nothing: it is at work, and its timeout ends the attempt.',
    {
      data: {
        ...data,
        ...(progress === undefined ? {} : { progress: { percent: progress.percent, message: progress.message } }),
      },
      times: { last_progress_at: progress?.at },
      since,
      until: since + action.timeoutMs,
    },
  );
}

function waiting(facts: RunFacts, action: ActionFact, task: TaskFact, job: JobFact | undefined): Cause | undefined {
  const { now } = facts;
  const since = task.updatedAt;
  const own = facts.whyWaiting?.get(action.actionId);
  if (own !== undefined) return own;
  for (const causeOf of facts.waitCauses ?? []) {
    const { actionId, actionType } = action;
    const found = causeOf({ actionId, actionType, since, wakeAt: task.wakeAt, now });
    if (found !== undefined) return found;
  }
  const wait = facts.waits.get(action.actionId);
  const waitSince = facts.waitsSince.get(action.actionId) ?? since;
  if (wait?.kind === 'approval') {
    const who = wait.approvers.length === 0 ? 'anybody of the tenant' : listed(wait.approvers);
    return cause(
      'approval',
      `It waits for an approval by ${who}, for ${span(now - waitSince)}${wait.message === null ? '' : `: ${wait.message}`}.`,
      'Somebody who may decides: POST …/approve or …/reject with this action_id.',
      {
        data: {
          approvers: wait.approvers,
          asked: wait.message,
          deadline: isoText(wait.deadline),
          escalated: wait.escalated,
        },
        since: waitSince,
        until: task.wakeAt,
      },
    );
  }
  if (wait?.kind === 'signal') {
    return cause(
      'signal',
      `It waits for the signal '${wait.name}', for ${span(now - waitSince)}.`,
      `Whoever is to send it does: POST …/signals/${wait.name}, or the event that it takes for one.`,
      { data: { signal: wait.name, deadline: isoText(wait.deadline) }, since: waitSince, until: task.wakeAt },
    );
  }
  const external = facts.externals.get(action.actionId);
  if (external !== undefined) return externalCause(external, now);
  const child = facts.children.get(action.actionId);
  if (child !== undefined) {
    const below = child.why === undefined ? '' : ` ${child.why.summary}`;
    return cause(
      'child_run',
      `It waits for the execution ${child.runId}, which is ${child.status}.${below}`,
      'Look at that execution: what holds it holds this one.',
      {
        data: { execution_id: child.runId, child_status: child.status },
        since: child.createdAt,
        until: child.why?.root.until,
        child: child.why,
      },
    );
  }
  const { notBefore } = task;
  if (
    action.delayMs > 0 &&
    task.wakeAt === undefined &&
    task.startedAt === undefined &&
    notBefore !== undefined &&
    notBefore > now
  ) {
    return cause(
      'delay',
      `Its delay_seconds are not over: another ${span(notBefore - now)}.`,
      'Nothing: it begins by itself.',
      {
        data: { delay_seconds: action.delayMs / 1000 },
        since,
        until: notBefore,
      },
    );
  }
  const parts = facts.parts.get(action.actionId);
  if (action.hasParts && parts !== undefined && parts.open > 0) {
    return cause(
      'parts',
      `${parts.open} of its ${parts.total} parts are not final.`,
      'Nothing here: look at its parts.',
      {
        data: {
          total: parts.total,
          open: parts.open,
          parts: `/workflows/executions/${facts.run.id}/parts?of=${encodeURIComponent(action.actionId)}`,
        },
        since,
      },
    );
  }
  const rateSlot = facts.rateSlots.get(action.actionId);
  if (rateSlot !== undefined && rateSlot > now) {
    return cause(
      'service_turn',
      `It waits for its turn at the service '${action.service ?? ''}', which is called only so often: in ${span(rateSlot - now)}.`,
      'Nothing: it holds no worker. SERVICE_RATE_LIMITS says how often.',
      {
        data: { service: orNull(action.service) },
        since,
        until: rateSlot,
      },
    );
  }
  const { service = '' } = action;
  const circuit = facts.circuits.get(service);
  if (circuit !== undefined)
    return circuitOpen({ service, ...circuit }, task, now, { policy: 'wait', until: task.wakeAt });
  if (action.actionType === 'service_call') {
    return cause(
      'service_busy',
      `The service '${action.service ?? 'of its config'}' has as many calls under way as it may have, or is only just let be called again.`,
      'Nothing: it asks again by itself. The bulkhead of the service says how many.',
      {
        data: { service: orNull(action.service) },
        since,
        until: task.wakeAt,
      },
    );
  }
  if (task.wakeAt !== undefined && task.wakeAt > now) {
    return cause(
      'timer',
      `It sleeps for another ${span(task.wakeAt - now)}.`,
      'Nothing: it goes on by itself. Skip the action if it is not to be waited for.',
      {
        data: {},
        since,
        until: task.wakeAt,
      },
    );
  }
  // Due, or given back: what its job says is why it has not gone on.
  if (job === undefined || job.state === 'delayed') {
    return cause(
      'woken',
      'What it slept for is over: it goes on as soon as its worker takes it.',
      'Nothing, unless it stays so: then look at its lane.',
      { since: task.wakeAt ?? since },
    );
  }
  return undefined;
}

function externalCause(external: ExternalFact, now: number): Cause {
  const { topic, workerId, leaseUntil, deadlineAt, deliveries, leasedOfTopic } = external;
  const data = { topic, deliveries, leased_of_topic: leasedOfTopic };
  if (external.status === 'leased' && leaseUntil !== undefined && leaseUntil > now) {
    return cause(
      'external_leased',
      `Worker '${workerId ?? 'unknown'}' outside has it leased for another ${span(leaseUntil - now)}.`,
      'Nothing: when the lease runs out without an answer another worker gets it.',
      {
        data: { ...data, worker_id: orNull(workerId) },
        times: { deadline: deadlineAt },
        since: external.createdAt,
        until: leaseUntil,
      },
    );
  }
  const others = leasedOfTopic > 0 ? `; ${leasedOfTopic} others of that topic are being worked on` : '';
  return cause(
    'external_no_worker',
    `No worker outside has taken it from the topic '${topic}' for ${span(now - external.createdAt)}${others}.`,
    `Start a worker that polls '${topic}' (POST /tasks/poll), or more of them. Without one the attempt ends at its deadline.`,
    {
      data,
      times: { deadline: deadlineAt },
      since: external.createdAt,
      until: undefined,
    },
  );
}

function retrying(facts: RunFacts, action: ActionFact, task: TaskFact, job: JobFact | undefined): Cause {
  const { now } = facts;
  const next = job?.delayMs === undefined ? undefined : task.updatedAt + job.delayMs;
  const { service = '' } = action;
  const circuit = facts.circuits.get(service);
  if (task.error?.code === 'circuit_open' && circuit !== undefined)
    return circuitOpen({ service, ...circuit }, task, now, { policy: 'fail', until: next ?? task.wakeAt });
  const when = next === undefined ? '' : next > now ? ` in ${span(next - now)}` : ' now';
  const error = task.error ?? { code: 'unknown', message: 'it did not say' };
  return cause(
    'retrying',
    `Attempt ${task.attempts} of ${action.maxAttempts} failed (${error.code}: ${error.message}); the next one comes${when}.`,
    'Mend what the error names; it is tried again by itself. Cancel the run if that is of no use.',
    {
      data: {
        attempt: task.attempts,
        next_attempt: task.attempts + 1,
        max_attempts: action.maxAttempts,
        error: { ...error },
      },
      since: task.updatedAt,
      until: next,
    },
  );
}

function circuitOpen(
  circuit: { service: string; state: string; since: number; worker: string; instanceId: string },
  task: TaskFact,
  now: number,
  { policy, until }: { policy: 'wait' | 'fail'; until: number | undefined },
): Cause {
  const { service } = circuit;
  return cause(
    'circuit_open',
    `The circuit of the service '${service}' is ${circuit.state === 'open' ? 'open' : 'half open'}, for ${span(now - circuit.since)}: too many calls in a row failed.`,
    `Mend the service '${service}'. It is tried again by itself once the circuit lets a call through.`,
    {
      data: {
        service,
        instance_id: circuit.instanceId,
        state: circuit.state,
        worker: circuit.worker,
        policy,
        ...(task.error === undefined ? {} : { error: { ...task.error } }),
      },
      since: circuit.since,
      until,
    },
  );
}
