/** Faults of the system as the cause of a run that is not finished. Pure. */
import { codeOf, todoOf, wordsOf } from '../../domain/health/fault-problems.ts';
import { type FaultGroup, type FaultKind, mayBeOfLock } from '../../domain/health/system-faults.ts';
import { type Cause, cause } from '../../domain/health/why-causes.ts';
import type { RunFacts } from './facts.ts';
import { databaseBlocked } from './why-jobs.ts';

type Facts = Pick<RunFacts, 'faults' | 'blocked' | 'now'>;

/** Statements without which no task goes on, by their names in the store. */
const OF_EVERY_TASK: ReadonlySet<string> = new Set(['look-up', 'claim-task', 'commit-outcomes', 'commits']);
const OF_EVERY_KIND: ReadonlySet<FaultKind> = new Set(['write_path', 'connection']);
/** Background work without which no run gets to the queue that is not there. */
const DISPATCHER = 'sweep';
const FINALIZER = 'runs';

/** What blocks every run, or this one because of its state. */
export function faultOfRun(facts: Facts & Pick<RunFacts, 'run' | 'tasks'>): Cause | undefined {
  const { faults, run, tasks } = facts;
  const all = faults.find(
    ({ kind, sources }) => OF_EVERY_KIND.has(kind) || sources.some((one) => OF_EVERY_TASK.has(one)),
  );
  if (all !== undefined) return causeOf(all, facts);
  if (run.status === 'pending' && run.dueAt === undefined) {
    const dispatch = faults.find(({ sources }) => sources.includes(DISPATCHER));
    if (dispatch !== undefined) return causeOf(dispatch, facts);
  }
  // The tasks could not be read: whatever the database rejects is why.
  const [first] = faults;
  return tasks === undefined && first !== undefined ? causeOf(first, facts) : undefined;
}

/** What ends the deliveries of one lane, or blocks it. */
export function faultOfLane(facts: Facts, lane: string): Cause | undefined {
  const fault = facts.faults.find(
    ({ kind, sources, lanes }) =>
      lanes.includes(lane) || lanes.includes(FINALIZER) || (kind === 'progress' && sources.includes(lane)),
  );
  return fault === undefined ? undefined : causeOf(fault, facts);
}

function causeOf(fault: FaultGroup, { blocked, now }: Facts): Cause {
  // What times out waits for that lock, whose holder is known.
  if (blocked !== undefined && mayBeOfLock(fault.class)) return databaseBlocked(blocked, now);
  const { class: of, message, firstAt, count, sources } = fault;
  return cause(codeOf(fault), wordsOf(fault), todoOf(fault), {
    data: { class: of, count, sources, ...(message === '' ? {} : { error: message }) },
    since: firstAt,
  });
}
