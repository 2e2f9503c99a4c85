/** Turns a segment of a plan into the flow (a tree of jobs) that BullMQ gets. Pure: equal arguments give equal trees. */
import { type DefinitionRef, JOB_VERSION, type JobData } from '../../schemas/job.ts';
import { SHORTEST_SLEEP_MS } from '../runs/asleep.ts';
import { endPriority, jobPriority, NOT_URGENT } from './job-priority.ts';
import type { Plan, PlannedAction } from './plan.ts';

export const FINALIZER_QUEUE = 'runs';
export const GATE_QUEUE = 'gates';

export interface FlowNode {
  queue: string;
  /** What Bull Board shows. */
  name: string;
  jobId: string;
  /** undefined: a gate. */
  data: JobData | undefined;
  priority: number;
  delayMs: number;
  attempts: number;
  children: FlowNode[];
}

export interface FlowOfRun {
  runId: string;
  epoch: number;
  gen: number;
  /** 1 (first) to 100. */
  priority: number;
  of: DefinitionRef;
  /** Fair-share rank of a run that has not started (see `fair-share.ts`). Left out: it is under way. */
  rank?: number | undefined;
  /** How near its deadline is (see `urgencyOf`). */
  urgency?: number | undefined;
}

/** A longer delay is a sleep of the task's own: its job is delivered when it is ready, and the task goes to sleep in its row. */
export const LONGEST_QUEUED_DELAY_MS = SHORTEST_SLEEP_MS;

/** The part of a delay that is the queue's: all of it, or nothing. */
export function queuedDelayMs(delaySeconds: number | undefined): number {
  const delayMs = (delaySeconds ?? 0) * 1000;
  return delayMs < LONGEST_QUEUED_DELAY_MS ? delayMs : 0;
}

/** BullMQ gives up five attempts after the policy does, so that PostgreSQL always decides first. */
const SPARE_ATTEMPTS = 5;

/** How many jobs a flow has, gates included. */
export function jobsIn({ children }: FlowNode): number {
  return children.reduce((sum, child) => sum + jobsIn(child), 1);
}

/** How far a run is. Left out: nothing of it has started. */
export interface RunSoFar {
  isFinal?: (index: number) => boolean;
  /** Of a task that sleeps, how long it does so yet. */
  sleepsMs?: (actionId: string) => number | undefined;
}

/** The flows of one segment, less what is final: usually one tree. Empty when there is nothing left to do in it. */
export function compileSegment(
  plan: Plan,
  segmentNumber: number,
  run: FlowOfRun,
  { isFinal = () => false, sleepsMs = () => undefined }: RunSoFar = {},
): FlowNode[] {
  const segment = plan.segments[segmentNumber];
  if (segment === undefined) return [];
  const trees = segment.roots
    .filter((index) => !isFinal(index))
    .map((index) => compileTree(plan, index, run, { isFinal, sleepsMs }));
  // With one sink its commit ends the run; where that has nothing left to do and the run is open, the finalizer has to.
  const nothingLeft = trees.length === 0 && segmentNumber === plan.segments.length - 1;
  if (!segment.finalizer && !nothingLeft) return trees;
  const sinks = new Set(
    plan.sinks.map((index) => taskJobId(run.runId, run.epoch, actionAt(plan, index).action.action_id)),
  );
  const under = trees.filter((tree) => sinks.has(tree.jobId));
  return [finalizerNode(run, under), ...trees.filter((tree) => !sinks.has(tree.jobId))];
}

/** The first segment that still has something to do; the last one, where the run ends, when every action is final. */
export function openSegment(plan: Plan, isFinal: (index: number) => boolean): number {
  const at = plan.segments.findIndex((segment) => segment.members.some((index) => !isFinal(index)));
  return at >= 0 ? at : plan.segments.length - 1;
}

// A plan bounds the depth of its trees, so this recursion is bounded too.
function compileTree(plan: Plan, index: number, run: FlowOfRun, soFar: Required<RunSoFar>): FlowNode {
  const planned = actionAt(plan, index);
  const { action_id: actionId, delay_seconds: delaySeconds } = planned.action;
  const open = (indices: number[]) => indices.filter((i) => !soFar.isFinal(i));
  return taskNode(planned, run, soFar.sleepsMs(actionId) ?? queuedDelayMs(delaySeconds), [
    ...open(planned.children).map((child) => compileTree(plan, child, run, soFar)),
    ...open(planned.gatedBy).map((source) =>
      gateNode(run, actionAt(plan, source).action.action_id, planned.action.action_id),
    ),
  ]);
}

/** The job of one task, above what it waits for in the queue. */
export function taskNode(
  { action, depth }: PlannedAction,
  run: FlowOfRun,
  delayMs: number,
  children: FlowNode[],
): FlowNode {
  return {
    queue: action.action_type,
    name: action.action_id,
    jobId: taskJobId(run.runId, run.epoch, action.action_id),
    data: {
      v: JOB_VERSION,
      run_id: run.runId,
      epoch: run.epoch,
      gen: run.gen,
      action_id: action.action_id,
      of: run.of,
    },
    priority: jobPriority({
      priority: action.priority ?? run.priority,
      urgency: run.urgency ?? NOT_URGENT,
      depth,
      rank: run.rank,
    }),
    // A part of a millisecond (1.009 * 1000) is more than the queue in PostgreSQL can take.
    delayMs: Math.round(delayMs),
    attempts: action.retry.max_attempts + SPARE_ATTEMPTS,
    children,
  };
}

function finalizerNode(run: FlowOfRun, children: FlowNode[]): FlowNode {
  return {
    queue: FINALIZER_QUEUE,
    name: 'finalize',
    jobId: finalizerJobId(run.runId, run.epoch),
    data: { v: JOB_VERSION, run_id: run.runId, epoch: run.epoch, gen: run.gen, action_id: null, of: run.of },
    priority: endPriority(run.priority),
    delayMs: 0,
    attempts: 1 + SPARE_ATTEMPTS,
    children,
  };
}

function gateNode(run: FlowOfRun, from: string, to: string): FlowNode {
  return {
    queue: GATE_QUEUE,
    name: `${from} -> ${to}`,
    jobId: gateJobId(run.runId, run.epoch, from, to),
    data: undefined,
    priority: 0,
    delayMs: 0,
    attempts: 1,
    children: [],
  };
}

export function taskJobId(runId: string, epoch: number, actionId: string): string {
  return `${idSafe(runId)}.${epoch}.${idSafe(actionId)}`;
}

export function finalizerJobId(runId: string, epoch: number): string {
  // `~` is in no id-safe spelling of an action.
  return `${idSafe(runId)}.${epoch}.~end`;
}

export function gateJobId(runId: string, epoch: number, from: string, to: string): string {
  return `${idSafe(runId)}.${epoch}.${idSafe(from)}.${idSafe(to)}`;
}

/** The run that a job or a gate belongs to. */
export function runOfJob(jobId: string): string {
  return decodeURIComponent(jobId.slice(0, jobId.indexOf('.')));
}

/** The gates that `planned` holds. */
export function gatesOf(plan: Plan, planned: PlannedAction, runId: string, epoch: number): string[] {
  return planned.gates.map((to) =>
    gateJobId(runId, epoch, planned.action.action_id, actionAt(plan, to).action.action_id),
  );
}

/** BullMQ rejects colons in ids; the dot separates the parts. */
function idSafe(text: string): string {
  return encodeURIComponent(text).replace(/[.~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function actionAt(plan: Plan, index: number): PlannedAction {
  const planned = plan.actions[index];
  if (planned === undefined) throw new Error(`the plan has no action number ${index}`);
  return planned;
}
