/**
 * Plays one seed: anything may happen for a while, then the faults stop, and everything has to end. The seed decides the
 * shape of the workflow, which faults there are, and all that is chosen, so equal seeds give equal stories.
 */

import { createRandom } from '../random.ts';
import { isQuiet, leftInQueue, type Watch, watchOver } from './invariants.ts';
import type { Actor } from './ports.ts';
import { MAX_ATTEMPTS, SHAPES, type Shape } from './shapes.ts';
import { createWorld, RUN_ID, type Sabotage, type World } from './world.ts';

export interface Played {
  /** What was broken, with the name of the invariant; undefined when all went well. */
  wrong: string | undefined;
  story: readonly string[];
  moves: number;
}

export interface PlayOptions {
  shape?: Shape;
  sabotage?: Sabotage;
  /** The queue forgets and delivers twice, and nothing else goes wrong. */
  onlyLosses?: boolean;
}

const STEPS = 120;
const CALM_ROUNDS = 60;
const MAX_EPOCH = 3;

interface Game {
  world: World;
  actionIds: readonly string[];
  random: () => number;
  /** How often a call goes another way than the good one, where it has one. */
  trouble: number;
  saved: (() => void) | undefined;
}
type Move = (game: Game) => void | Promise<void>;

function anyOf<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}
const processes = ({ workers, reconciler, api }: World): Actor[] => [...workers, reconciler, api];
const active = (world: World) => world.queue.jobs().filter(({ state }) => state === 'active');
const runOf = (world: World) => world.store.truth.runs.get(RUN_ID);

const letThrough: Move = ({ world, random, trouble }) => {
  const call = anyOf(
    world.calls.filter(({ chain }) => !chain.actor.asleep),
    random,
  );
  if (call === undefined) return;
  // What becomes of an execution is part of any life; everything else goes wrong only under faults.
  const chance = call.what === 'finish' || call.what === 'begin' ? 0.25 : trouble;
  const way = call.ways.length > 1 && random() < chance ? 1 + Math.floor(random() * (call.ways.length - 1)) : 0;
  world.let(call, way);
};
const takeJob: Move = ({ world, random }) => {
  const job = anyOf(world.queue.ready(), random);
  const worker = anyOf(
    world.workers.filter(({ asleep }) => !asleep),
    random,
  );
  if (job !== undefined && worker !== undefined) world.take(worker, job);
};
const stall: Move = ({ world, random }) => {
  const job = anyOf(active(world), random);
  if (job === undefined) return;
  world.story.push(`${job.jobId} stalls`);
  world.queue.stall(job);
};
const giveUp: Move = ({ world, random }) => {
  const job = anyOf(active(world), random);
  const worker = anyOf(world.workers, random);
  if (job !== undefined && worker !== undefined) world.giveUp(job, worker);
};
const crash: Move = ({ world, random }) => {
  const actor = anyOf(processes(world), random);
  if (actor !== undefined) world.crash(actor);
};
/** Stopped for longer than its locks: others take its jobs, and it knows nothing of that when it wakes. */
const sleepLong: Move = ({ world, random }) => {
  const actor = anyOf(processes(world), random);
  if (actor === undefined || actor.asleep) return;
  actor.asleep = true;
  world.story.push(`${actor.name} is stopped, and its jobs stall`);
  for (const { lease, actor: of } of world.chains) {
    const job =
      lease === undefined || of !== actor ? undefined : world.queue.job(lease.delivery.queue, lease.delivery.jobId);
    if (job?.lock !== undefined && job.lock === lease?.lock) world.queue.stall(job);
  }
};
const wake: Move = ({ world, random }) => {
  const actor = anyOf(
    processes(world).filter(({ asleep }) => asleep),
    random,
  );
  if (actor === undefined) return;
  actor.asleep = false;
  world.story.push(`${actor.name} wakes`);
};
const wipe: Move = ({ world }) => {
  world.story.push('the queue is wiped');
  world.queue.wipe();
};
const save: Move = (game) => {
  game.saved = game.world.queue.save();
};
const rollBack: Move = ({ world, saved }) => {
  if (saved !== undefined) world.rollBack(saved);
};
const forget: Move = ({ world, random }) => {
  const job = anyOf(
    world.queue.jobs().filter(({ state }) => state === 'completed' || state === 'failed'),
    random,
  );
  if (job === undefined) return;
  world.story.push(`${job.jobId} is removed by the queue`);
  world.queue.forget(job);
};
const reconcile: Move = ({ world }) => world.reconcile();
const clean: Move = ({ world }) => world.clean();
const clock: Move = ({ world, random }) => {
  world.now += Math.floor(random() * 60_000);
};
const cancel: Move = ({ world }) => {
  if (runOf(world)?.final === false) world.cancel();
};
const noticeCancel: Move = ({ world }) => world.noticeCancel();
const retry: Move = ({ world }) => {
  const run = runOf(world);
  if (run?.final === true && run.status !== 'completed' && run.epoch < MAX_EPOCH) world.retry();
};

const pause: Move = ({ world }) => {
  if (runOf(world)?.final === false) world.pause();
};
const resume: Move = ({ world }) => {
  if (runOf(world)?.status === 'paused') world.resume();
};
const settleByHand: Move = ({ world, actionIds, random }) => {
  const actionId = anyOf(actionIds, random);
  if (runOf(world)?.final === false && actionId !== undefined) world.settleByHand(actionId, random() < 0.5);
};

type Moves = Array<[weight: number, move: Move]>;
const LIFE: Moves = [
  [60, letThrough],
  [20, takeJob],
  [0.3, cancel],
  [1, noticeCancel],
  [3, retry],
  [0.5, pause],
  [4, resume],
  [0.3, settleByHand],
];
/** Jobs are delivered twice and the queue forgets, but nothing is left half done: what is in the queue is always right. */
const LOSSES: Moves = [...LIFE, [3, stall], [1, wipe], [4, reconcile], [1, clock], [1, forget]];
const FAULTS: Moves = [
  ...LOSSES,
  [1, giveUp],
  [2, crash],
  [1, sleepLong],
  [3, wake],
  [2, save],
  [1, rollBack],
  [1, clean],
];
const ONLY_LOSSES = { moves: LOSSES, trouble: 0, faults: true };
const KINDS: Array<{ moves: Moves; trouble: number; faults: boolean }> = [
  { moves: LIFE, trouble: 0, faults: false },
  ONLY_LOSSES,
  { moves: FAULTS, trouble: 0.06, faults: true },
  { moves: FAULTS, trouble: 0.06, faults: true },
  { moves: FAULTS, trouble: 0.02, faults: true },
];

function choose(moves: Moves, random: () => number): Move {
  let at = random() * moves.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, move] of moves) {
    at -= weight;
    if (at < 0) return move;
  }
  return letThrough;
}

export async function play(seed: number, options: PlayOptions = {}): Promise<Played> {
  const random = createRandom(seed).next;
  const shape = options.shape ?? anyOf(SHAPES, random) ?? fail();
  const kind = anyOf(KINDS, random) ?? fail();
  const { moves, trouble, faults } = options.onlyLosses === true ? ONLY_LOSSES : kind;
  const world = createWorld({
    plans: shape.plans,
    longSleeps: true,
    ...(options.sabotage ? { sabotage: options.sabotage } : {}),
  });
  world.story.push(`-- ${shape.name}`);
  const actionIds = shape.plan.actions.map(({ action }) => action.action_id);
  const game: Game = { world, actionIds, random, trouble, saved: undefined };
  const watch = watchOver(world, shape.plan, MAX_ATTEMPTS);
  let made = 0;
  let wrong: string | undefined;
  world.accept();
  for (; made < STEPS && wrong === undefined; made += 1) {
    await choose(moves, random)(game);
    await world.settle();
    wrong = watch();
  }
  wrong ??= await calmDown(world, watch, faults, random() < 0.5);
  for (const actor of processes(world)) world.crash(actor);
  return { wrong, story: world.story, moves: made };
}

/** The faults stop. Sleepers wake, or have died in their sleep; everything ends, and nothing is left in the queue. */
export async function calmDown(world: World, watch: Watch, nets: boolean, wakes: boolean): Promise<string | undefined> {
  world.story.push('-- the faults stop');
  for (const actor of processes(world)) {
    if (actor.asleep && !wakes) world.crash(actor);
    actor.asleep = false;
  }
  const isFinal = () => runOf(world)?.final === true;
  for (let round = 0; round < CALM_ROUNDS; round += 1) {
    for (let call = world.calls[0]; call !== undefined; call = world.calls[0]) {
      world.let(call, 0);
      await world.settle();
      const wrong = watch();
      if (wrong !== undefined) return wrong;
    }
    if (runOf(world)?.status === 'paused') world.resume();
    world.now += 3_600_000;
    if (isFinal() && isQuiet(world) && leftInQueue(world).length === 0) return undefined;
    // What has lost its worker stalls.
    for (const job of active(world)) world.queue.stall(job);
    for (const job of world.queue.ready()) world.take(world.workers[0] ?? fail(), job);
    if (nets && round % 3 === 2) await world.reconcile();
    if (nets && round % 10 === 9) await world.clean();
    world.noticeCancel();
    await world.settle();
    const wrong = watch();
    if (wrong !== undefined) return wrong;
  }
  if (!isFinal()) return `I1: the run is ${runOf(world)?.status} and never ends`;
  return `I5: left in the queue: ${leftInQueue(world).join(', ')}`;
}

/** The first seed of a range in which something is broken. */
export async function firstRed(
  from: number,
  seeds: number,
  options: PlayOptions = {},
): Promise<(Played & { seed: number }) | undefined> {
  for (let seed = from; seed < from + seeds; seed += 1) {
    const played = await play(seed, options);
    if (played.wrong !== undefined) return { ...played, seed };
  }
  return undefined;
}

function fail(): never {
  throw new Error('an empty list of choices');
}
