/** The record of what became of a delivery, as it is committed. */
import { OrchestratorError } from '../../domain/errors.ts';
import { endsRun, type Plan } from '../../domain/graph/plan.ts';
import type { Decision } from '../../domain/runs/decide.ts';
import { isEffectUnknown } from '../../domain/runs/saga.ts';
import { cleanText, makeStorable } from '../../domain/runs/storable.ts';
import { maskOfExcerpt, redactSecrets } from '../../domain/texts/mask-secrets.ts';
import type { Json } from '../../schemas/json.ts';
import type { TaskFailure } from '../ports/executor.ts';
import type { Logger } from '../ports/logger.ts';
import type { RunRow } from '../ports/rows.ts';
import type {
  CancelledOutcome,
  CompletedOutcome,
  DeliveryRecord,
  FailedOutcome,
  Outcome,
  RetryingOutcome,
  SkippedOutcome,
  WaitingOutcome,
} from '../ports/tasks.ts';
import type { Attempt } from './attempt.ts';
import { outputsOfRun, runOutput, type Scope, scopeOf } from './resolve-input.ts';

export interface OutcomeDeps {
  newId(): string;
  worker: string;
  maxOutputBytes: number;
  log: Logger;
  now(): number;
}

const MAX_ERROR_BYTES = 16_384;
const ENDED_MEANWHILE = 'the run was cancelled, or its deadline passed, while the task ran';

export function completedOutcome(deps: OutcomeDeps, attempt: Attempt, output: string, cached?: true): CompletedOutcome {
  return outcomeOf<CompletedOutcome>(deps, attempt, {
    final: true,
    ended: true,
    endsRun: endsRun(attempt.plan, attempt.planned.index),
    runOutput: scopedRunOutput(deps, attempt, output),
    wakeAt: null,
    nextDelivery: null,
    status: 'completed',
    output,
    error: null,
    tolerated: false,
    cached,
  });
}

export function failedOutcome(deps: OutcomeDeps, attempt: Attempt, failure: TaskFailure): FailedOutcome {
  const error = errorText(attempt, failure);
  const tolerated = attempt.planned.action.on_failure === 'continue';
  const runOutput = tolerated ? scopedRunOutput(deps, attempt, null) : null;
  const effectUnknown = isEffectUnknown(failure);
  const ended = { ...finalOf(attempt, runOutput), status: 'failed', output: null, error, tolerated } as const;
  return outcomeOf<FailedOutcome>(deps, attempt, ended, effectUnknown);
}

/** The run was cancelled while the adapter ran. */
export function cancelledOutcome(deps: OutcomeDeps, attempt: Attempt, effectUnknown: boolean): CancelledOutcome {
  const error = errorText(attempt, { code: 'cancelled', message: ENDED_MEANWHILE }, []);
  const ended = { ...finalOf(attempt, null), status: 'cancelled', output: null, error, tolerated: false } as const;
  return outcomeOf<CancelledOutcome>(deps, attempt, ended, effectUnknown);
}

/** The task ends without being executed in this delivery. */
export function decidedOutcome(
  deps: OutcomeDeps,
  attempt: Attempt,
  { status, reason }: Decision & { next: 'end' },
): CancelledOutcome | SkippedOutcome {
  const runOutput = scopedRunOutput(deps, attempt, null);
  const ended = { ...finalOf(attempt, runOutput), output: null, tolerated: false } as const;
  // Skipped and never run are decided of committed states alone: an earlier delivery has decided the same, and not run.
  const decided = status === 'cancelled' ? attempt : { ...attempt, mayHaveRun: false };
  if (status === 'skipped') return outcomeOf<SkippedOutcome>(deps, decided, { ...ended, status, error: null });
  const error = errorText(attempt, { code: status, message: reason });
  return outcomeOf<CancelledOutcome>(deps, decided, { ...ended, status, error });
}

export function retryingOutcome(
  deps: OutcomeDeps,
  attempt: Attempt,
  failure: TaskFailure,
  delayMs: number,
): RetryingOutcome {
  const retrying = {
    // Its delivery is a planned one, whatever the queue has counted while this one slept.
    ...openOf(attempt),
    status: 'retrying',
    ended: true,
    error: errorText(attempt, failure),
    wakeAt: null,
    notBefore: new Date(deps.now() + delayMs),
    clockReading: clockReading(deps),
  } as const;
  return outcomeOf<RetryingOutcome>(deps, attempt, retrying, isEffectUnknown(failure));
}

/** `notBefore`: without a time it sleeps until it is woken. */
export function waitingOutcome(
  deps: OutcomeDeps,
  attempt: Attempt,
  times: Pick<WaitingOutcome, 'wakeAt' | 'notBefore' | 'clockReading'>,
  effectUnknown = false,
): WaitingOutcome {
  const waiting = { ...openOf(attempt), ...times, status: 'waiting', ended: false, error: null } as const;
  return outcomeOf<WaitingOutcome>(deps, attempt, waiting, effectUnknown);
}

/** Of an outcome whose times are so and so long from now: the database's clock may have been set without this worker knowing yet. */
export function clockReading(deps: { now(): number }): Outcome['clockReading'] {
  return { clockMs: deps.now(), mono: performance.now() };
}

/**
 * All outcomes have one shape: the spread changes members that are there. Members that a literal adds after a spread each
 * cost V8 a look into its tables, and the outcome is made for every task.
 */
function outcomeOf<O extends Outcome>(
  deps: OutcomeDeps,
  attempt: Attempt,
  became: Omit<O, keyof DeliveryRecord>,
  effectUnknown = false,
): O {
  const { planned, run, found, fence, number, input, startedMono } = attempt;
  const members: object = became;
  const outcome: object = {
    runId: run.id,
    tenantId: run.tenantId,
    epoch: run.epoch,
    actionId: planned.action.action_id,
    actionType: planned.action.action_type,
    attempt: number,
    fence,
    effectUnknown: effectUnknown || attempt.mayHaveRun,
    input,
    commitId: deps.newId(),
    worker: deps.worker,
    startedMono,
    wakesSeen: found.tasks.get(planned.action.action_id)?.wakes ?? 0,
    traceId: run.traceId,
    parentSpan: run.parentSpan,
    status: undefined,
    final: undefined,
    ended: undefined,
    endsRun: undefined,
    runOutput: undefined,
    output: undefined,
    error: undefined,
    tolerated: undefined,
    cached: undefined,
    wakeAt: undefined,
    notBefore: undefined,
    clockReading: undefined,
    nextDelivery: undefined,
    ...members,
  };
  return outcome as O; // What became of it has every member of O that the record has not.
}

/** What is known while the task runs. */
export function recordOf(deps: OutcomeDeps, attempt: Attempt): DeliveryRecord {
  return outcomeOf(deps, attempt, {} as Omit<Outcome, keyof DeliveryRecord>); // Nothing became of it yet.
}

function finalOf({ plan, planned }: Attempt, runOutput: string | null) {
  return {
    final: true,
    ended: true,
    endsRun: endsRun(plan, planned.index),
    runOutput,
    wakeAt: null,
    nextDelivery: null,
  } as const;
}

function openOf({ delivery }: Attempt) {
  return {
    final: false,
    endsRun: false,
    runOutput: null,
    output: null,
    tolerated: false,
    nextDelivery: delivery.attemptsStarted + 1,
  } as const;
}

/** The run's output, where this commit ends it. `output`: of this very task, as JSON text. */
function scopedRunOutput(
  deps: OutcomeDeps,
  { plan, planned, run, found }: Attempt,
  output: string | null,
): string | null {
  // A single task has its output in its own row.
  if (!endsRun(plan, planned.index) || !('workflow_id' in run.of)) return null;
  const scope = scopeOf(run, found, outputsOfRun(plan));
  const own: Json = output === null ? null : JSON.parse(output); // Text that makeStorable wrote.
  const outputs = new Map(scope.outputs).set(planned.action.action_id, own);
  return runOutputText(deps, plan, { ...scope, outputs }, run.id);
}

export function runOutputText(
  deps: Pick<OutcomeDeps, 'maxOutputBytes' | 'log'>,
  plan: Plan,
  scope: Scope,
  runId: string,
): string | null {
  try {
    const storable = makeStorable(runOutput(plan, scope), {
      maxBytes: deps.maxOutputBytes * Math.max(1, plan.sinks.length),
    });
    if (storable.ok) return storable.json;
    deps.log.warn('run_output_dropped', { run_id: runId, reason: storable.message });
  } catch (error) {
    if (!(error instanceof OrchestratorError)) throw error;
    // Every action did its work; a path that is missing in one of the outputs does not make the run fail.
    deps.log.warn('run_output_unresolved', { run_id: runId, reason: error.message });
  }
  return null;
}

export function errorText(
  { planned, number, secrets: own }: Attempt,
  { code, message, details }: TaskFailure,
  secrets = own,
): string {
  const mask = secrets.length > 0 ? maskOfExcerpt(secrets) : undefined;
  return JSON.stringify({
    code: cleanText(mask?.(code) ?? code),
    message: cleanText(mask?.(message) ?? message).slice(0, MAX_ERROR_BYTES),
    action_id: planned.action.action_id,
    attempt: number,
    ...(details === undefined ? {} : { details: redactSecrets(details, secrets) }),
  });
}

export function messageOf(error: string): string {
  const parsed: { code: string; message: string } = JSON.parse(error); // Text that errorText wrote.
  return `${parsed.code}: ${parsed.message}`;
}

/** Not stored for a single task: its input is the run's parameters. */
export function storableInput(input: Json, maxBytes: number, run: RunRow): string | null {
  if (!('workflow_id' in run.of)) return null;
  const storable = makeStorable(input, { maxBytes });
  return storable.ok ? storable.json : JSON.stringify({ not_stored: storable.message });
}
