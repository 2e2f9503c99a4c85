/**
 * The invariants between PostgreSQL and the queues. What is in flight looks like a violation for a moment, so
 * findings are checked again after a while, and only those that persist count.
 */
import { actionAt, FINALIZER_QUEUE, finalizerJobId, gatesOf, runOfJob, taskJobId } from '../domain/graph/compile.ts';
import { settledActions } from '../domain/graph/settled.ts';
import type { Plans } from '../engine/accept/plans.ts';
import type { FlowQueue } from '../engine/ports/queue.ts';
import type { Lookup, RunRow } from '../engine/ports/rows.ts';
import { type Finding, IDS_SHOWN, ok } from './finding.ts';

export interface QueueDeps {
  plans: Plans;
  queue: Pick<FlowQueue, 'state' | 'removeGates' | 'promote'> & {
    gatePage(offset: number, limit: number): Promise<string[]>;
  };
  /** Jobs in one queue that wait, are delayed, or wait for other jobs. */
  openJobs(queue: string, limit: number): Promise<string[]>;
  removeJob(queue: string, jobId: string): Promise<void>;
  runs: {
    /** Runs that should be in the queue and have not been touched for a moment, the longest first. */
    live(limit: number): Promise<RunRow[]>;
    statuses(runId: string): Promise<Lookup>;
    ended(runIds: readonly string[]): Promise<ReadonlySet<string>>;
  };
  /** Of the reconciler, under its lock; false: another holds it. */
  addAgain(run: RunRow): Promise<boolean>;
  queues: readonly string[];
  pause(): Promise<void>;
}

const RUNS = 2_000;
const JOBS_PER_QUEUE = 2_000;
const PAGE = 500;
const MAX_GATES = 5_000;

interface Found {
  /** By what is repaired: a run, a gate, `queue:job`. */
  lost: Map<string, { run: RunRow; job: string }>;
  stale: Map<string, { queue: string; jobId: string }>;
  gates: Set<string>;
}

interface Invariant {
  check: string;
  invariant: string;
  rule: string;
  whatToDo: string;
}

const JOBS_OF_RUNS: Invariant = {
  check: 'runs_have_jobs',
  invariant: 'I1',
  rule: 'every execution that is under way has its jobs in the queue',
  whatToDo: 'The reconciler of a worker that is alive adds them again; --repair does it now.',
};
const RUNS_OF_JOBS: Invariant = {
  check: 'jobs_have_runs',
  invariant: 'I5',
  rule: 'no job is left of an execution that has ended',
  whatToDo: 'They do no harm but take room; --repair removes them.',
};
const SOURCES_OF_GATES: Invariant = {
  check: 'gates_have_sources',
  invariant: 'I5',
  rule: 'no gate is left whose action is final',
  whatToDo: 'They hold others back. Workers remove them in a while; --repair does it now.',
};

export async function checkQueue(deps: QueueDeps, repair: boolean): Promise<Finding[]> {
  let found = await find(deps);
  if (found.lost.size + found.stale.size + found.gates.size > 0) {
    await deps.pause();
    const again = await find(deps);
    found = {
      lost: both(found.lost, again.lost),
      stale: both(found.stale, again.stale),
      gates: new Set([...found.gates].filter((gate) => again.gates.has(gate))),
    };
  }
  const repaired = repair ? await repairAll(deps, found) : undefined;
  return [
    finding(JOBS_OF_RUNS, [...found.lost.keys()], repaired?.lost),
    finding(RUNS_OF_JOBS, [...found.stale.keys()], repaired?.stale),
    finding(SOURCES_OF_GATES, [...found.gates], repaired?.gates),
  ];
}

function finding(
  { check, invariant, rule, whatToDo }: Invariant,
  ids: string[],
  repaired: number | undefined,
): Finding {
  if (ids.length === 0) return { ...ok(check, rule), invariant };
  return {
    ...{ check, invariant, status: 'problem', message: `not true that ${rule}: ${ids.length} times`, whatToDo },
    ...{ ids: ids.slice(0, IDS_SHOWN), total: ids.length, repairable: true },
    ...(repaired === undefined ? {} : { repaired }),
  };
}

function both<T>(before: Map<string, T>, after: Map<string, T>): Map<string, T> {
  return new Map([...after].filter(([key]) => before.has(key)));
}

async function find(deps: QueueDeps): Promise<Found> {
  const lost: Found['lost'] = new Map();
  const gates = new Set<string>();
  const there = await allGates(deps);
  for (const run of await deps.runs.live(RUNS)) {
    const plan = await deps.plans.of(run.of);
    const { run: now, tasks } = await deps.runs.statuses(run.id);
    if (now === undefined || now.final || now.epoch !== run.epoch) continue;
    const isFinal = (actionId: string) => tasks.get(actionId)?.final === true;
    const settled = settledActions(plan, isFinal);
    for (const index of settled) {
      for (const gate of gatesOf(plan, actionAt(plan, index), run.id, run.epoch)) if (there.has(gate)) gates.add(gate);
    }
    const ready = plan.actions.filter(
      ({ index, dependsOn }) => !settled.has(index) && dependsOn.every((d) => settled.has(d)),
    );
    const jobs = ready
      .slice(0, PAGE)
      .map(({ action }) => ({ queue: action.action_type, jobId: taskJobId(run.id, run.epoch, action.action_id) }));
    if (jobs.length === 0) jobs.push({ queue: FINALIZER_QUEUE, jobId: finalizerJobId(run.id, run.epoch) });
    const states = await Promise.all(jobs.map(({ queue, jobId }) => deps.queue.state(queue, jobId)));
    const at = states.findIndex((state) => state === 'missing' || state === 'completed' || state === 'failed');
    const job = jobs[at];
    if (job !== undefined) lost.set(run.id, { run, job: job.jobId });
  }
  const ofEnded = await deps.runs.ended([...new Set([...there].map(runOfJob))]);
  for (const gate of there) if (ofEnded.has(runOfJob(gate))) gates.add(gate);
  return { lost, stale: await staleJobs(deps), gates };
}

async function allGates({ queue }: QueueDeps): Promise<Set<string>> {
  const gates = new Set<string>();
  for (let offset = 0; offset < MAX_GATES; offset += PAGE) {
    const page = await queue.gatePage(offset, PAGE);
    for (const gate of page) gates.add(gate);
    if (page.length < PAGE) break;
  }
  return gates;
}

async function staleJobs(deps: QueueDeps): Promise<Found['stale']> {
  const stale: Found['stale'] = new Map();
  for (const queue of deps.queues) {
    // Others, such as the ticks of schedules, belong to no run.
    const jobs = (await deps.openJobs(queue, JOBS_PER_QUEUE)).filter((id) => id.includes('.'));
    const ended = await deps.runs.ended([...new Set(jobs.map(runOfJob))]);
    for (const jobId of jobs) if (ended.has(runOfJob(jobId))) stale.set(`${queue}:${jobId}`, { queue, jobId });
  }
  return stale;
}

async function repairAll(deps: QueueDeps, { lost, stale, gates }: Found): Promise<Record<keyof Found, number>> {
  const done = { lost: 0, stale: 0, gates: gates.size };
  await deps.queue.removeGates([...gates]);
  for (const { run } of lost.values()) if (await deps.addAgain(run)) done.lost += 1;
  for (const { queue, jobId } of stale.values()) {
    await deps.removeJob(queue, jobId).then(
      () => {
        done.stale += 1;
      },
      // It, or one of its children, is locked by a worker: it ends by itself.
      () => undefined,
    );
  }
  return done;
}
