/**
 * External workers: they lease tasks of a topic, extend their leases, and answer. What follows an answer (retries, dependents,
 * the end of the run) is the engine's own work: the task that sleeps meanwhile is woken and reads what was stored.
 */

import { OrchestratorError } from '../../domain/errors.ts';
import { taskJobId } from '../../domain/graph/compile.ts';
import { makeStorable } from '../../domain/runs/storable.ts';
import { makeDue } from '../../engine/deliver/wake-tasks.ts';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import type { ExternalAttempt } from '../../engine/ports/external-attempt.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { FlowQueue } from '../../engine/ports/queue.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json } from '../../schemas/json.ts';
import type { Outbox } from '../../store/core/outbox.ts';
import type { ExternalLogs, SaidLine } from './external-logs.ts';
import type {
  ExternalAttempts,
  ExternalOutcome,
  ExternalTaskFilter,
  ExternalTaskStore,
  LeasedTask,
  LeaseRequest,
  NoLease,
  OpenExternalTask,
  TaskProgress,
  TopicDepth,
  WokenTask,
} from './ports.ts';
import type { WaitingPolls } from './waiting-polls.ts';

/** The action type, and so the queue, of all of them. */
const EXTERNAL = 'external';

export interface ExternalTasks {
  /** `signal`: the client went away; what was leased for it is given back. */
  poll(
    caller: Caller,
    request: Omit<LeaseRequest, 'tenantId'> & { waitSeconds: number },
    signal: AbortSignal,
  ): Promise<LeasedTask[]>;
  heartbeat(
    caller: Caller,
    taskId: string,
    heartbeat: {
      leaseToken: string;
      progress: TaskProgress | undefined;
      extendSeconds: number | undefined;
      logs?: readonly SaidLine[] | undefined;
    },
  ): Promise<{ leaseUntil: Date; deadline: Date }>;
  complete(
    caller: Caller,
    taskId: string,
    answer: { leaseToken: string; output: Json; logs?: readonly SaidLine[] | undefined },
  ): Promise<WokenTask>;
  fail(
    caller: Caller,
    taskId: string,
    answer: {
      leaseToken: string;
      code: string | undefined;
      message: string;
      retryable: boolean;
      logs?: readonly SaidLine[] | undefined;
    },
  ): Promise<WokenTask>;
  list(
    caller: Caller,
    filter: ExternalTaskFilter,
    page: { limit: number; skip: number },
  ): Promise<{ items: OpenExternalTask[]; total: number; topics: TopicDepth[] }>;
}

export interface ExternalTaskDeps {
  tasks: ExternalTaskStore;
  polls: Pick<WaitingPolls, 'until'>;
  logs: ExternalLogs;
  queue: Pick<FlowQueue, 'promote'>;
  failpoint: Failpoint;
  log: Logger;
}

/** What polls wait for. A notification has the same text; a topic contains no space, so no two are alike. */
function topicKey(tenantId: string, topic: string): string {
  return `${tenantId} ${topic}`;
}

export function createExternalTasks(deps: ExternalTaskDeps): ExternalTasks {
  async function lease(request: LeaseRequest, signal: AbortSignal): Promise<LeasedTask[]> {
    if (signal.aborted) return [];
    const givenUp = await deps.tasks.takeBack(request.tenantId, request.topic);
    for (const task of givenUp) await wake(task);
    const tasks: LeasedTask[] = [];
    let closed = 0;
    do {
      const more = await deps.tasks.lease({ ...request, max: request.max - tasks.length });
      tasks.push(...more.leased);
      closed = more.closed;
    } while (closed > 0 && tasks.length < request.max);
    if (!signal.aborted || tasks.length === 0) return tasks;
    await deps.tasks.giveBack(request.tenantId, tasks);
    return [];
  }

  async function answer(
    caller: Caller,
    taskId: string,
    { leaseToken, logs = [] }: { leaseToken: string; logs?: readonly SaidLine[] | undefined },
    outcome: ExternalOutcome,
  ): Promise<WokenTask> {
    const stored = await deps.tasks.answer({ tenantId: caller.tenantId, taskId, leaseToken, outcome });
    if (typeof stored === 'string') throw leaseError(stored);
    await deps.failpoint('external.afterStore');
    // The same answer once more brings the same lines.
    if (stored.of !== undefined) await deps.logs(caller.tenantId, stored.of, logs);
    await wake(stored);
    return stored;
  }

  /** The wake is counted with the outcome: after a crash before this the reconciler finds it. */
  function wake({ runId, epoch, actionId }: WokenTask): Promise<void> {
    return makeDue(deps, runId, [{ queue: EXTERNAL, jobId: taskJobId(runId, epoch, actionId) }]);
  }

  return {
    poll({ tenantId }, { waitSeconds, ...request }, signal) {
      const tryLease = () => lease({ ...request, tenantId }, signal);
      return deps.polls.until(topicKey(tenantId, request.topic), tryLease, {
        milliseconds: waitSeconds * 1_000,
        signal,
      });
    },
    async heartbeat({ tenantId }, taskId, { leaseToken, progress, extendSeconds, logs = [] }) {
      const extended = await deps.tasks.extend({ tenantId, taskId, leaseToken, progress, seconds: extendSeconds });
      if (typeof extended === 'string') throw leaseError(extended);
      await deps.logs(tenantId, extended.of, logs);
      return extended;
    },
    complete(caller, taskId, { output, ...lease }) {
      return answer(caller, taskId, lease, { status: 'completed', output: storable(output) });
    },
    fail(caller, taskId, { code = 'adapter_failed', message, retryable, ...lease }) {
      return answer(caller, taskId, lease, { status: 'failed', error: { code, message, retryable } });
    },
    list: ({ tenantId }, filter, page) => deps.tasks.list(tenantId, filter, page),
  };
}

/** Its size is checked by the engine, like that of every output: too much of it fails the task. */
function storable(output: Json): string {
  const made = makeStorable(output, { maxBytes: Number.MAX_SAFE_INTEGER });
  if (made.ok) return made.json;
  throw new OrchestratorError('invalid_request', `The output cannot be stored: ${made.message}`, {
    errors: [{ path: 'output', message: made.message }],
  });
}

function leaseError(why: NoLease): OrchestratorError {
  switch (why) {
    case 'unknown':
      return new OrchestratorError('not_found', 'Task not found');
    case 'lost':
      return new OrchestratorError(
        'lease_lost',
        'The lease is over: another worker may have the task, or it has ended',
      );
    case 'ended':
      return new OrchestratorError(
        'run_cancelled',
        'The execution was cancelled or has ended: stop working on this task',
      );
  }
}

declare module '../../../workers/adapter.ts' {
  interface EngineCapabilities {
    /** This attempt's task for workers outside, which is made by the first delivery; how far it is. */
    external?(task: { topic: string; input: Json }): Promise<ExternalAttempt>;
  }
}

/** The engine's side, bound to one execution of the adapter. `outbox` says which topics are published. */
export function externalAttempts(
  attempts: ExternalAttempts,
  maxInputBytes: number,
  outbox: () => Pick<Outbox, 'publishes' | 'ofTask'> | undefined = () => undefined,
) {
  return (call: ExecutionCall) =>
    ({ topic, input }: { topic: string; input: Json }) => {
      const made = makeStorable(input, { maxBytes: maxInputBytes });
      if (!made.ok) throw new OrchestratorError('input_invalid', made.message.replace('the output', 'the input'));
      const { run, actionId, attempt, priority, timeoutMs } = call;
      const key = { runId: run.id, epoch: run.epoch, actionId, attempt };
      const opened = { ...key, tenantId: run.tenantId, topic, input: made.json, priority, timeoutMs };
      const publishing = outbox();
      if (publishing?.publishes(topic) !== true) return attempts.open(opened);
      return attempts.open({
        ...opened,
        message: (attempt) => publishing.ofTask(call, { ...attempt, topic, input: made.json }),
      });
    };
}
