/** What is to be done with a task once BullMQ has delivered it: decided from committed states alone. */
import type { RunIf } from '../definition/definition.ts';
import { unreachable } from '../errors.ts';
import type { FinalTaskStatus, OpenRunStatus } from './run-states.ts';

export type TaskState =
  | { final: false }
  | { final: true; status: Exclude<FinalTaskStatus, 'failed'> }
  /** `tolerated`: failed with `on_failure: continue`. */
  | { final: true; status: 'failed'; tolerated: boolean };

export interface Dependency {
  actionId: string;
  /** undefined: no row, not started. */
  state: TaskState | undefined;
}

export type Decision =
  | { next: 'run' }
  /** A dependency is not final after all: come back later. */
  | { next: 'not_ready'; waitsFor: string }
  /** The run is paused: nothing is started and nothing decided until it is resumed. */
  | { next: 'put_off' }
  | { next: 'end'; status: 'skipped' | 'upstream_failed' | 'cancelled'; reason: string };

export function decide(runIf: RunIf, dependencies: readonly Dependency[], runStatus: OpenRunStatus): Decision {
  if (runStatus === 'paused') return { next: 'put_off' };
  let succeeded = 0;
  let skipped = 0;
  let failed: string | undefined;
  let tolerated: string | undefined;
  for (const { actionId, state } of dependencies) {
    if (state === undefined || !state.final) return { next: 'not_ready', waitsFor: actionId };
    switch (state.status) {
      case 'completed':
        succeeded += 1;
        break;
      case 'skipped':
        skipped += 1;
        break;
      case 'failed':
        if (state.tolerated) tolerated ??= actionId;
        else failed ??= actionId;
        break;
      case 'cancelled':
      case 'upstream_failed':
        failed ??= actionId;
        break;
      default:
        unreachable(state);
    }
  }
  // Only now: the last action ends the run for all, so it must not be decided while another is still open.
  if (runStatus === 'cancelling')
    return { next: 'end', status: 'cancelled', reason: 'the run was cancelled, or its deadline passed' };
  if (dependencies.length === 0) return { next: 'run' };

  switch (runIf) {
    case 'all_done':
      return { next: 'run' };
    case 'any_succeeded': {
      if (succeeded > 0) return { next: 'run' };
      const culprit = failed ?? tolerated;
      return culprit === undefined
        ? { next: 'end', status: 'skipped', reason: 'every dependency was skipped' }
        : { next: 'end', status: 'upstream_failed', reason: `no dependency succeeded: '${culprit}' did not complete` };
    }
    case 'all_succeeded':
      if (failed !== undefined)
        return { next: 'end', status: 'upstream_failed', reason: `'${failed}' did not complete` };
      if (skipped === dependencies.length) {
        return { next: 'end', status: 'skipped', reason: 'every dependency was skipped' };
      }
      return { next: 'run' };
    default:
      return unreachable(runIf);
  }
}
