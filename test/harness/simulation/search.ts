/**
 * Goes through every order of events there is, up to a number of disturbances. The state of a world is its database, its
 * queue, and for each chain of calls all that it was answered: the engine is deterministic, so that is its local state.
 * States that are equal are gone through once. A state cannot be copied, so it is reached again from the start.
 *
 * What is exhausted: the moves of two workers that serve one job each at a time, of the API that adds the run, and of the
 * reconciler, call by call, together with at most so many disturbances, each at any moment. A disturbance is a death of any
 * process, or a lock that runs out (which makes a zombie of its holder); of the kind `faults` also a queue that is wiped or
 * loses its newest write, a call that fails or whose answer is lost; of the kind `all` also an attempt that fails, fails for good or sleeps, a job that is
 * given up, an ended job that the queue removes, a cancellation, a manual retry, and a reconcile pass that has checked
 * once already. What is left out there is left to the seeds.
 * Every state that has nothing left to do is checked against the promise that all ends once the faults stop.
 */
import { createHash } from 'node:crypto';
import { taskJobId } from '../../../src/domain/graph/compile.ts';
import { type FakeTask, tasksOf } from '../fakes/fence.ts';
import { type Watch, watchOver } from './invariants.ts';
import { calmDown } from './play.ts';
import type { Chain } from './ports.ts';
import { MAX_ATTEMPTS, type Shape } from './shapes.ts';
import { createWorld, RUN_ID, type Sabotage, type World } from './world.ts';

export interface Searched {
  states: number;
  /** Ways through the world from its start that were played. */
  schedules: number;
  /** States in which nothing was left to do. */
  ends: number;
  wrong: string | undefined;
  story: readonly string[];
}

export const DISTURBANCE_KINDS = ['deaths', 'faults', 'all'] as const;

interface SearchOptions {
  shape: Shape;
  disturbances: number;
  /** Each kind has those before it too, and many times as many states. */
  kind?: (typeof DISTURBANCE_KINDS)[number];
  sabotage?: Sabotage;
}

/** What is only read is read when the job is taken, so that it may be old when it is used. */
const READS: ReadonlySet<string> = new Set(['look up', 'begin']);
/** Between the end of an execution and its commit there is nothing that anybody else could see. */
const UNSEEN: ReadonlySet<string> = new Set([...READS, 'finish']);

interface Move {
  disturbs: boolean;
  make(): void | Promise<void>;
}
interface Position {
  world: World;
  watch: Watch;
  kind: Required<SearchOptions>['kind'];
  left: number;
  /** Brings the queue back to what it was before its newest write. */
  saved: { queue: string; bringBack: () => void } | undefined;
}

export async function searchAll({
  shape,
  disturbances,
  kind = 'deaths',
  sabotage = {},
}: SearchOptions): Promise<Searched> {
  /** With how many disturbances left a state was gone through. */
  const seen = new Map<string, number>();
  const found: Searched = { states: 0, schedules: 0, ends: 0, wrong: undefined, story: [] };
  const open: number[][] = [[]];
  const options = { shape, disturbances, kind, sabotage };

  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    found.schedules += 1;
    const at = await start(options);
    let wrong: string | undefined;
    for (const move of path) wrong ??= await make(at, move);
    while (wrong === undefined) {
      const state = stateOf(at);
      if ((seen.get(state) ?? -1) >= at.left) break;
      if (!seen.has(state)) found.states += 1;
      seen.set(state, at.left);
      const moves = movesOf(at);
      const [first, ...others] = moves.keys();
      const good = first !== undefined && moves[first]?.disturbs === false;
      for (const other of good ? others : first === undefined ? [] : [first, ...others]) open.push([...path, other]);
      if (!good) {
        found.ends += 1;
        wrong = await calmDown(at.world, at.watch, true, true);
        break;
      }
      path = [...path, first];
      wrong = await make(at, first);
    }
    end(at.world);
    if (wrong !== undefined) return { ...found, wrong, story: at.world.story };
  }
  return found;
}

async function start({ shape, disturbances, kind, sabotage }: Required<SearchOptions>): Promise<Position> {
  const world = createWorld({
    plans: shape.plans,
    sabotage,
    remember: true,
    unstopped: kind === 'all' ? READS : UNSEEN,
  });
  world.accept();
  for (await world.settle(); world.calls[0] !== undefined; await world.settle()) world.let(world.calls[0], 0);
  const watch = watchOver(world, shape.plan, MAX_ATTEMPTS);
  return { world, watch, kind, left: disturbances, saved: undefined };
}

function end(world: World): void {
  for (const actor of [...world.workers, world.api, world.reconciler]) world.crash(actor);
}

async function make(at: Position, index: number): Promise<string | undefined> {
  const { world } = at;
  const move = movesOf(at)[index];
  if (move === undefined) throw new Error('a way through the world is not what it was');
  const before =
    at.kind !== 'deaths' && at.left > 0 ? { queue: queueOf(world), bringBack: world.queue.save() } : undefined;
  await move.make();
  await world.settle();
  if (move.disturbs) at.left -= 1;
  if (before !== undefined && queueOf(world) !== before.queue) at.saved = before;
  return at.watch();
}

/** Always in the same order. Those that disturb come last. */
function movesOf({ world, saved, left, kind }: Position): Move[] {
  const run = world.store.truth.runs.get(RUN_ID);
  const busy = new Set([...world.chains].map(({ actor }) => actor));
  const free = world.workers.find((worker) => !busy.has(worker));
  const moves: Move[] = world.calls.map((call) => ({ disturbs: false, make: () => world.let(call, 0) }));
  if (free !== undefined) {
    for (const job of world.queue.ready()) moves.push({ disturbs: false, make: () => world.take(free, job) });
  }
  if (run?.status === 'cancelling' && world.watched() > 0) {
    moves.push({ disturbs: false, make: () => world.noticeCancel() });
  }

  if (left === 0) return moves;

  const disturb = (make: () => void | Promise<void>) => moves.push({ disturbs: true, make });
  for (const actor of busy) disturb(() => world.crash(actor));
  const jobs = world.queue.jobs();
  for (const job of jobs) {
    if (job.state === 'active') disturb(() => world.queue.stall(job));
  }
  if (kind === 'deaths') return moves;
  for (const call of world.calls) {
    for (let way = 1; way < call.ways.length; way += 1) disturb(() => world.let(call, way));
  }
  if (jobs.length > 0) disturb(() => world.queue.wipe());
  if (saved !== undefined) disturb(() => world.rollBack(saved.bringBack));
  if (kind === 'faults') return moves;
  for (const job of jobs) {
    if (job.state === 'active') disturb(() => world.giveUp(job, free ?? world.workers[0] ?? world.api));
    if (job.state === 'completed' || job.state === 'failed') disturb(() => world.queue.forget(job));
  }
  if (!busy.has(world.reconciler) && run?.final === false) disturb(() => world.reconcile(true));
  if (run?.final === false && run.status !== 'cancelling') disturb(() => world.cancel());
  if (run?.final === true && run.status !== 'completed') disturb(() => world.retry());
  return moves;
}

/**
 * Counters count only by what is compared: whether a delivery is a clean first one, and which one a planned return has
 * announced. Otherwise a job that is deferred again and again would be in another state every time.
 */
function stateOf({ world, saved, left }: Position): string {
  const { truth, due } = world.store;
  const run = truth.runs.get(RUN_ID);
  const tasks = tasksOf(truth, RUN_ID).sort((a, b) => (a.actionId < b.actionId ? -1 : 1));
  // Of what has failed the order counts. Nothing else of a final row does any more, but what became of it.
  const failures = tasks
    .filter(({ status }) => status === 'failed')
    .sort((x, y) => (x.finishedAt ?? 0) - (y.finishedAt ?? 0));
  const parts = [
    run,
    failures.map(({ actionId }) => actionId),
    tasks.map((task) => {
      if (task.final)
        return keptOf(
          task,
          [...world.chains].some(({ lease }) => lease?.delivery.data.action_id === task.actionId),
        );
      const nextDelivery = task.nextDelivery === null ? null : task.nextDelivery - startedOf(world, task);
      return { ...task, nextDelivery, finishedAt: null };
    }),
    [...world.chains]
      .map((chain) => `${chain.actor.name[0]} ${chain.name} ${deliveryOf(world, chain)}${chain.history}`)
      .sort(),
    queueOf(world),
    left > 0 ? saved?.queue : undefined,
    [...due, ...world.suspects.values(), world.queue.isMarked(), world.interrupted],
  ];
  return createHash('sha1')
    .update(inOrder(JSON.stringify(parts)))
    .digest('base64');
}

function keptOf({ actionId, epoch, status, tolerated, output, error, commitId }: FakeTask, isHeld: boolean): unknown[] {
  return [actionId, epoch, status, tolerated, output, error, isHeld && commitId];
}

function startedOf({ queue }: World, { actionType, actionId, epoch }: FakeTask): number {
  return queue.job(actionType, taskJobId(RUN_ID, epoch, actionId))?.attemptsStarted ?? 0;
}

function deliveryOf({ queue }: World, { lease }: Chain): string {
  if (lease === undefined) return '';
  const { attemptsMade: made, attemptsStarted: started, stalledCounter, queue: name, jobId, data } = lease.delivery;
  const since = (queue.job(name, jobId)?.attemptsStarted ?? 0) - started;
  return `${made} ${started === made + 1 && stalledCounter === 0} ${data.gen} ${since}`;
}

function queueOf({ queue, chains }: World): string {
  const holders = new Map<number, Chain>();
  for (const chain of chains) if (chain.lease !== undefined) holders.set(chain.lease.lock, chain);
  const lines = queue.jobs().map((job) => {
    const holder = job.lock === undefined ? '' : (holders.get(job.lock)?.name ?? 'the dead');
    const { key, state, parent, pending, attemptsMade: made, attemptsStarted: started, stalledCounter, node } = job;
    if (state === 'completed' || state === 'failed') return [key, state, parent].join();
    const counters = [made, Math.min(started - made, 2), Math.min(stalledCounter, 1), node.data?.gen];
    return [key, state, parent, [...pending].sort(), counters, holder].join();
  });
  return lines.sort().join('\n');
}

/** Of how many deliveries a job has had it does not matter which number one has, only which came first. */
function inOrder(text: string): string {
  const named = /(\w+ of \d+), take (\d+)/g;
  const takes = new Map<string, Set<number>>();
  for (const [, of = '', take] of text.matchAll(named)) takes.set(of, (takes.get(of) ?? new Set()).add(Number(take)));
  return text.replace(named, (_, of: string, take: string) => {
    const earlier = [...(takes.get(of) ?? [])].filter((other) => other < Number(take)).length;
    return `${of}, take ${earlier}`;
  });
}
