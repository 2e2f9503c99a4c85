import { describe, expect, test } from 'vitest';
import { GATE_QUEUE } from '../../src/domain/compile.ts';
import { DIAMOND, definitionOf, type Edges } from '../support/dags.ts';
import { plansOf, tries } from '../support/fake-engine.ts';
import { ALL_RULES, tasksOf } from '../support/fake-fence.ts';
import type { FakeJob } from '../support/fake-queue.ts';
import { createWorld, RUN_ID, type World, type WorldOptions } from '../support/fake-world.ts';

/** Equal seeds give equal worlds. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const SHAPES: Record<string, Edges> = {
  'a diamond': DIAMOND,
  'a gate': { a: [], s: [], b: ['a'], c: ['a'], d: ['b', 'c', 's'] },
  'a gate behind a cut': { z: [], a: ['z'], s: ['z'], b: ['a'], c: ['a'], d: ['b', 'c', 's'] },
  'two ends': { a: [], x: ['a'], y: ['a'] },
};
const MAX_ATTEMPTS = 3;
const STEPS = 120;
const CALM_ROUNDS = 60;

const TERMINAL = new Set(['task.completed', 'task.failed', 'task.skipped', 'task.cancelled', 'task.upstream_failed']);

/** What must hold at every moment; gives what is broken. */
function broken(world: World, edges: Edges, remembered: Map<string, string>): string | undefined {
  const { truth } = world.store;
  const terminal = new Map<string, number>();
  for (const { actionId, kind } of truth.events) {
    if (TERMINAL.has(kind)) terminal.set(actionId ?? '', (terminal.get(actionId ?? '') ?? 0) + 1);
    if (kind.startsWith('run.') && kind !== 'run.cancelling') terminal.set('run', (terminal.get('run') ?? 0) + 1);
  }
  for (const [id, count] of terminal) if (count > 1) return `${id} ended ${count} times`;

  const run = truth.runs.get(RUN_ID);
  for (const { actionId, final, status, output } of tasksOf(truth, RUN_ID)) {
    const now = `${status} ${output}`;
    const before = remembered.get(actionId);
    if (before !== undefined && (!final || before !== now)) return `${actionId} was ${before} and is ${now}`;
    if (final) remembered.set(actionId, now);
  }
  const early = world.executed.find(({ open }) => open.length > 0);
  if (early !== undefined) return `${early.actionId} began before ${early.open.join(', ')} was final`;
  const often = truth.attempts.find(({ attempt }) => attempt > MAX_ATTEMPTS);
  if (often !== undefined) return `${often.actionId} was tried ${often.attempt} times`;
  if (world.unexpected.length > 0) return `unexpected: ${String(world.unexpected[0])}`;
  if (run?.final !== true) return undefined;
  const rows = new Map(tasksOf(truth, RUN_ID).map((task) => [task.actionId, task]));
  const open = Object.keys(edges).filter((id) => rows.get(id)?.final !== true);
  if (open.length > 0) return `the run is ${run.status} and ${open.join(', ')} is not final`;
  const failed = [...rows.values()].some(({ status }) => status === 'failed');
  if (run.status === 'completed' && failed) return 'the run completed although a task failed';
  if (run.status === 'failed' && !failed) return 'the run failed although no task did';
  return undefined;
}

type Moment = (world: World, random: () => number) => void;
function anyOf<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}

const letThrough =
  (faulty: boolean): Moment =>
  (world, random) => {
    const call = anyOf(world.calls, random);
    if (call === undefined) return;
    world.calls.splice(world.calls.indexOf(call), 1);
    const fails = faulty && call.fail !== undefined && random() < 0.08;
    const after = random() < 0.5;
    world.story.push(`${call.actor.name}: ${call.what}${fails ? (after ? ' (answer lost)' : ' (fails)') : ''}`);
    if (fails) call.fail?.(after);
    else call.proceed();
  };
const takeJob: Moment = (world, random) => {
  const job = anyOf(world.queue.ready(), random);
  const worker = anyOf(world.workers, random);
  if (job !== undefined && worker !== undefined) world.take(worker, job);
};
const active = (world: World) => world.queue.jobs().filter(({ state }) => state === 'active');
const stall: Moment = (world, random) => {
  const job = anyOf(active(world), random);
  if (job === undefined) return;
  world.story.push(`${job.jobId} stalls`);
  world.queue.stall(job);
};
const crash: Moment = (world, random) => {
  const actor = anyOf([...world.workers, world.sweeper, world.api], random);
  if (actor === undefined) return;
  world.story.push(`${actor.name} dies`);
  world.crash(actor);
};
const wipe: Moment = (world) => {
  world.story.push('the queue is wiped');
  world.queue.wipe();
};
const saves = new WeakMap<World, () => void>();
const save: Moment = (world) => void saves.set(world, world.queue.save());
const rollBack: Moment = (world) => {
  world.story.push('the queue loses its newest writes');
  saves.get(world)?.();
};
const forget: Moment = (world, random) => {
  const job = anyOf(
    world.queue.jobs().filter(({ state }) => state === 'completed' || state === 'failed'),
    random,
  );
  if (job !== undefined) world.queue.forget(job);
};
const sweep: Moment = (world) => {
  world.store.due.add(RUN_ID);
  world.sweep();
};
const noticeCancel: Moment = (world) => world.noticeCancel();

type Moments = Array<[weight: number, moment: Moment]>;
const ORDERS: Moments = [
  [60, letThrough(false)],
  [20, takeJob],
  [1, noticeCancel],
];
const FAULTS: Moments = [
  [60, letThrough(true)],
  [20, takeJob],
  [4, stall],
  [2, crash],
  [1, wipe],
  [2, save],
  [1, rollBack],
  [1, forget],
  [4, sweep],
  [1, noticeCancel],
];
function choose(moments: Moments, random: () => number): Moment {
  let at = random() * moments.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, moment] of moments) {
    at -= weight;
    if (at < 0) return moment;
  }
  return takeJob;
}

interface Played {
  edges: Edges;
  moments: Moments;
  world?: Partial<WorldOptions>;
}

/** Plays one seed: anything may happen for a while, then calm. Gives what was broken, with the story. */
async function play({ edges, moments, world: options }: Played, seed: number): Promise<string | undefined> {
  const random = randomOf(seed);
  const plans = plansOf(definitionOf(edges, () => tries(MAX_ATTEMPTS)));
  const world = createWorld({ plans, random, ...options });
  const remembered = new Map<string, string>();
  const told = (what: string) => `seed ${seed}: ${what}\n${world.story.join('\n')}`;
  const cancelAt = seed % 4 === 0 ? Math.floor(random() * STEPS) : -1;
  world.accept();
  for (let step = 0; step < STEPS; step += 1) {
    if (step === cancelAt) world.cancel();
    choose(moments, random)(world, random);
    await world.settle();
    const wrong = broken(world, edges, remembered);
    if (wrong !== undefined) return told(wrong);
  }
  world.story.push('-- calm');
  const left = () => leftIn(world, moments === FAULTS);
  const isFinal = () => world.store.truth.runs.get(RUN_ID)?.final === true;
  for (let round = 0; round < CALM_ROUNDS && !(isFinal() && left().length === 0); round += 1) {
    // All that is under way goes on; what has lost its worker stalls.
    for (let call = world.calls.shift(); call !== undefined; call = world.calls.shift()) {
      world.story.push(`${call.actor.name}: ${call.what}`);
      call.proceed();
      await world.settle();
    }
    for (const job of active(world)) world.queue.stall(job);
    for (const job of world.queue.ready()) world.take(world.workers[0] ?? world.api, job);
    if (moments === FAULTS && round % 3 === 2) sweep(world, random);
    world.noticeCancel();
    await world.settle();
    const wrong = broken(world, edges, remembered);
    if (wrong !== undefined) return told(wrong);
  }
  for (const worker of world.workers) world.crash(worker);
  if (!isFinal()) return told('the run never ended');
  return left().length > 0 ? told(`left in the queue: ${left().join(', ')}`) : undefined;
}

/**
 * What should not be there. After faults a gate may have come back when nobody was left to remove it; it and what it
 * holds are inert, and cost memory but no work.
 */
function leftIn(world: World, inertMayStay: boolean): string[] {
  const isInert = ({ queue, state }: FakeJob) => queue === GATE_QUEUE || state === 'waiting-children';
  const open = world.queue.open().filter((job) => !(inertMayStay && isInert(job)));
  return open.map(({ jobId, state }) => `${jobId} (${state})`);
}

async function firstBroken(played: Played, seeds: number): Promise<string | undefined> {
  for (let seed = 1; seed <= seeds; seed += 1) {
    const wrong = await play(played, seed);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

describe.each(Object.entries(SHAPES))('%s', (_, edges) => {
  test('in any order of events ends, each task once, and leaves nothing in the queue', {
    timeout: 60_000,
  }, async () => {
    expect(await firstBroken({ edges, moments: ORDERS }, 500)).toBeUndefined();
  });

  test('under crashes, stalls, lost answers and lost jobs ends all the same, each task once and in order', {
    timeout: 60_000,
  }, async () => {
    expect(await firstBroken({ edges, moments: FAULTS }, 1_000)).toBeUndefined();
  });
});

describe('it would be noticed if', () => {
  test.each([
    ['the token did not count', DIAMOND, { rules: { ...ALL_RULES, token: false } }],
    ['a task could end twice', DIAMOND, { rules: { ...ALL_RULES, oneOutcome: false } }],
    ['an abnormal end left tasks open', DIAMOND, { rules: { ...ALL_RULES, tombstones: false } }],
    ['gates were not removed', SHAPES['a gate'] ?? {}, { keepGates: true }],
  ])('%s', { timeout: 60_000 }, async (_, edges, world) => {
    expect(await firstBroken({ edges, moments: FAULTS, world }, 2_000)).toBeDefined();
  });
});
