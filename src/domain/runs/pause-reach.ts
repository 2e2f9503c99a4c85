/**
 * How far a pause reaches. A run is paused by somebody, or *with its parent*: the run of a task that waits for it is paused.
 * The two are apart, so that a resume of the parent resumes what was paused with it, and leaves alone what somebody
 * paused by itself; and a resume of a child starts nothing below a run that is paused.
 */

import { RUN_MOVES } from './run-states.ts';

/** As it is stored. `withParent`: of a paused run only. */
export interface Pausable {
  status: string;
  final: boolean;
  withParent: boolean;
}

const CAN_BE_PAUSED: readonly string[] = RUN_MOVES.pause.from;

/** `by_itself`: it stays paused, but does not go on with its parent any more. */
export type Pause = 'pause' | 'by_itself' | 'reject';

export function pauseOf(run: Pausable): Pause {
  if (run.final) return 'reject';
  if (run.status === 'paused') return run.withParent ? 'by_itself' : 'reject';
  return CAN_BE_PAUSED.includes(run.status) ? 'pause' : 'reject';
}

/** `with_parent`: it stays paused until its parent goes on. `parent_first`: nobody paused it by itself. */
export type Resume = 'go_on' | 'with_parent' | 'parent_first' | 'reject';

/** `isHeldAbove`: the run of the task that waits for it is paused at this moment. */
export function resumeOf(run: Pausable, isPausedAbove: boolean): Resume {
  if (run.final || run.status !== 'paused') return 'reject';
  if (!isPausedAbove) return 'go_on';
  return run.withParent ? 'parent_first' : 'with_parent';
}

/** What a pause of the parent makes of a run that is awaited. `pass`: it is as it was, and those below it are checked. */
export function pausedAbove(run: Pausable): 'pause' | 'pass' | 'leave' {
  if (!run.final && run.status === 'paused') return 'pass';
  return pauseOf(run) === 'pause' ? 'pause' : 'leave';
}

/** Whether it goes on when its parent does. */
export function goesOnWithParent(run: Pausable): boolean {
  return !run.final && run.status === 'paused' && run.withParent;
}
