/**
 * Workflows in the abstract: what each action does, and what the outside does to it. A plot holds both, so that its outcome
 * is decided before it is played. `evaluate.ts` says what must become of it, `definition.ts` how a client writes it down,
 * `outside.ts` plays it.
 */
import type { Json } from '../../../src/schemas/json.ts';

export interface Plot {
  /** In the order they are written in. */
  steps: Step[];
  /** The output of the run: that of its last actions, or what a template takes from one action. */
  output: 'of_the_last' | { of: string };
  /** Who ends a run of which something never ends by itself: somebody who cancels it, or its deadline. */
  endedBy: 'cancellation' | 'deadline';
  /** Somebody pauses the run on its way, and resumes it. */
  paused: boolean;
  /** Only so many of all such runs are under way at a time; the others wait for their turn. */
  limited: boolean;
  /** What is answered to who asks for the very same run once more; undefined: that would be another run. */
  deduped: 'reject' | 'return_existing' | undefined;
  /** How often the workflow is run, one run after the other. */
  rounds: 1 | 2;
}

export interface Step {
  id: string;
  after: readonly string[];
  /** How each dependency is named: in `depends_on`, in a template, or in both. */
  naming: 'declared' | 'template' | 'both';
  runIf: 'all_succeeded' | 'all_done' | 'any_succeeded';
  when: Condition | undefined;
  onFailure: 'fail' | 'continue';
  /** Of all tries; the second one comes at once. */
  maxAttempts: 1 | 2;
  delayMs: number | undefined;
  priority: number | undefined;
  /** An earlier output of this very action is taken instead of executing it. */
  cached: boolean;
  /** How what undoes it goes, tried twice at most; undefined: nothing does. */
  undone: Behaviour | undefined;
  work: Work;
}

export type Condition =
  /** Known before the run. */
  | { of: 'parameter'; holds: boolean }
  /** Whether a dependency that gives a number gave at least that. */
  | { of: 'output'; step: string; atLeast: number };

/** What is told to an action that calls, echoes or is done elsewhere: always, never, or not the first time. */
export type Behaviour = 'succeed' | 'fail' | 'flaky';

export type Work =
  /** In the worker itself, for a while. */
  | { kind: 'echo'; n: number; behave: Behaviour; workMs: number }
  /** Over HTTP to a service that may fail. */
  | { kind: 'call'; n: number; behave: Behaviour; workMs: number }
  | { kind: 'compute'; n: number }
  /** `never`: for longer than anybody would wait, so that somebody has to cancel the run. */
  | { kind: 'wait'; ms: number | 'never' }
  /** Waits for ever, until somebody skips it or completes it with a number. */
  | { kind: 'by_hand'; n: number; as: 'skipped' | 'completed' }
  /** Once for every item of a list, which is written out, or taken from a parameter by a template or by CEL. */
  | {
      kind: 'items';
      items: readonly Behaviour[];
      given: 'literal' | 'template' | 'cel';
      maxParallel: number | undefined;
      onItemFailure: 'fail' | 'continue';
    }
  /** Counts from 1, once each time, until it has come to `until`; at most `max` times. */
  | { kind: 'loop'; until: number; max: number }
  /** Done by a worker of somebody else, over HTTP. */
  | { kind: 'external'; n: number; behave: Behaviour }
  /** Waits for a message, which comes before or while somebody waits for it, or never. */
  | { kind: 'signal'; n: number; comes: 'early' | 'late' | 'never'; onTimeout: 'fail' | 'continue' }
  /** Waits for a person, who approves, rejects or does neither. */
  | {
      kind: 'approval';
      decided: 'approved' | 'rejected' | 'by_nobody';
      onTimeout: 'fail' | 'approve' | 'reject' | 'escalate';
      onReject: 'fail' | 'continue';
    }
  /** A run of another workflow; `alone`: nobody waits for it. */
  | { kind: 'child'; plot: Plot; alone: boolean }
  /** Each attempt takes longer than it may. */
  | { kind: 'overdue'; n: number };

export type TaskEnd = 'completed' | 'failed' | 'skipped' | 'upstream_failed' | 'cancelled';
export interface ExpectedTask {
  status: TaskEnd;
  /** Without what differs from run to run. */
  output: Json;
  /** Attempts that are recorded. */
  attempts: number;
  /** Its output is that of an earlier run. */
  cached: boolean;
  /** Items in their order, or iterations; of a fan-out that is given up only what is certain. */
  parts: ExpectedPart[] | undefined;
  /** The runs it began, one for each attempt; one that is alone goes on to its own end whatever becomes of this run. */
  children: Expected[] | undefined;
  /** What undid it, when the run did not complete. */
  compensation: { status: TaskEnd; output: Json; attempts: number } | undefined;
}
export interface ExpectedPart {
  status: TaskEnd;
  attempts: number;
}
export interface Expected {
  status: 'completed' | 'failed' | 'cancelled' | 'timed_out' | 'compensated' | 'compensation_failed';
  /** Somebody has to end it. */
  brokenOff: Plot['endedBy'] | undefined;
  output: Json;
  /** By action. */
  tasks: Record<string, ExpectedTask>;
  /** How many tasks end by themselves, when somebody has to end the others. */
  endByThemselves: number;
  /** Runs that it began, or those began, which are open when somebody has to end it. */
  openChildren: number;
  /** Actions that are really begun: those the outside may have to do something about. */
  begun: ReadonlySet<string>;
}
