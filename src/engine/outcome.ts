/** The record of what became of a delivery, as it is committed. */
import { OrchestratorError } from '../domain/errors.ts';
import { maskOfExcerpt, redactSecrets } from '../domain/mask-secrets.ts';
import { endsRun, type Plan, type PlannedAction } from '../domain/plan.ts';
import { cleanText, makeStorable } from '../domain/storable.ts';
import type { Json } from '../schemas/json.ts';
import type { Delivery, Logger, Lookup, Outcome, RunRow, TaskFailure } from './ports.ts';
import { outputsOfRun, runOutput, type Scope, scopeOf } from './resolve-input.ts';

export interface OutcomeDeps {
  newId(): string;
  worker: string;
  maxOutputBytes: number;
  log: Logger;
}

/** What is decided of committed states alone: an earlier delivery has decided the same. */
const NOT_RUN: ReadonlySet<string> = new Set(['skipped', 'upstream_failed']);
const MAX_ERROR_BYTES = 16_384;

/** A task in the hands of this delivery, with the token that its commits carry. */
export interface Held {
  delivery: Delivery;
  plan: Plan;
  planned: PlannedAction;
  run: RunRow;
  found: Lookup;
  fence: number;
  attempt: number;
  /** An earlier delivery of this attempt may have executed it; nobody heard how that ended. */
  mayHaveRun?: true;
  /** Where its output is looked for and kept; undefined: nowhere. */
  cacheKey?: string | undefined;
}

export function plannedReturn(
  deps: OutcomeDeps,
  held: Held,
  // Without a time it sleeps until it is woken.
  values: Pick<Outcome, 'input' | 'startedMono' | 'wakeAt'> & { notBefore: Date | undefined } & Partial<
      Pick<Outcome, 'effectUnknown' | 'toldBy'>
    >,
): Outcome {
  const nextDelivery = held.delivery.attemptsStarted + 1;
  return outcomeOf(deps, held, { status: 'waiting', final: false, ended: false, nextDelivery, ...values });
}

/** Of an outcome whose times are so and so long from now: the database's clock may have been set without this worker knowing yet. */
export function toldBy(deps: { now(): number }): Outcome['toldBy'] {
  return { clockMs: deps.now(), mono: performance.now() };
}

export function outcomeOf(
  deps: OutcomeDeps,
  { planned, run, found, fence, attempt, plan, mayHaveRun }: Held,
  values: Pick<Outcome, 'status' | 'final' | 'ended'> & Partial<Outcome>,
): Outcome {
  return {
    runId: run.id,
    tenantId: run.tenantId,
    epoch: run.epoch,
    actionId: planned.action.action_id,
    actionType: planned.action.action_type,
    attempt,
    fence,
    tolerated: false,
    input: null,
    output: null,
    error: null,
    commitId: deps.newId(),
    worker: deps.worker,
    startedMono: null,
    wakeAt: null,
    wakesSeen: found.tasks.get(planned.action.action_id)?.wakes ?? 0,
    nextDelivery: null,
    endsRun: values.final && endsRun(plan, planned.index),
    runOutput: null,
    traceId: run.traceId,
    parentSpan: run.parentSpan,
    ...values,
    effectUnknown: values.effectUnknown === true || (mayHaveRun === true && !NOT_RUN.has(values.status)),
  };
}

/** The run's output, where this commit ends it. `output`: of this very task, as JSON text. */
export function scopedRunOutput(
  deps: OutcomeDeps,
  { plan, planned, run, found }: Held,
  output: string | null,
): string | null {
  // The one task of the simple door has its output in its own row.
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

export function errorText(held: Held, { code, message, details }: TaskFailure, secrets: string[]): string {
  const mask = secrets.length > 0 ? maskOfExcerpt(secrets) : undefined;
  return JSON.stringify({
    code: cleanText(mask?.(code) ?? code),
    message: cleanText(mask?.(message) ?? message).slice(0, MAX_ERROR_BYTES),
    action_id: held.planned.action.action_id,
    attempt: held.attempt,
    ...(details === undefined ? {} : { details: redactSecrets(details, secrets) }),
  });
}

export function messageOf(error: string): string {
  const parsed: { code: string; message: string } = JSON.parse(error); // Text that errorText wrote.
  return `${parsed.code}: ${parsed.message}`;
}

/** Not stored for the one task of the simple door: its input is the run's parameters. */
export function storableInput(input: Json, maxBytes: number, run: RunRow): string | null {
  if (!('workflow_id' in run.of)) return null;
  const storable = makeStorable(input, { maxBytes });
  return storable.ok ? storable.json : JSON.stringify({ not_stored: storable.message });
}
