/** Plots of every kind, at random. A feature is in the mix as soon as its switch is on. */
import fc from 'fast-check';
import { dags, type Edges } from '../../harness/dags.ts';
import type { Behaviour, Condition, Plot, Step, Work } from './forms.ts';
import { numberPath } from './naming.ts';

export interface Mix {
  /** The most actions of one workflow. */
  size: number;
  /** The longest that one action works. */
  workMs: number;
  /** Some calls take from so long to so long instead. */
  longMs: readonly [number, number] | undefined;
  /** The longest that one action waits or is held back. */
  waitMs: number;
  /** A failure may be lost with who called: what fails once has a second try. */
  unheard: boolean;
  /** The part of all actions that fails, always or once. */
  failing: number;
  /** Whether some runs have something that never ends by itself. */
  endless: boolean;
  /** Pauses, and actions that somebody settles by hand. */
  control: boolean;
  /** Outputs that are kept for the next run. */
  cache: boolean;
  /** Fan-outs and loops. */
  parts: boolean;
  /** Workers of somebody else. */
  external: boolean;
  /** Runs that wait for a place among others. */
  limited: boolean;
  /** Runs that are asked for twice. */
  deduped: boolean;
  /** Completed actions that are undone when the run does not complete. */
  sagas: boolean;
  signals: boolean;
  approvals: boolean;
  /** How deep runs begin others. */
  depth: number;
}
export const MIX: Mix = {
  size: 12,
  workMs: 30,
  longMs: undefined,
  waitMs: 60,
  unheard: false,
  failing: 0.3,
  endless: true,
  control: true,
  cache: true,
  parts: true,
  external: true,
  limited: true,
  deduped: true,
  sagas: true,
  signals: true,
  approvals: true,
  depth: 2,
};

function behaviours({ failing }: Mix): fc.Arbitrary<Behaviour> {
  const hundredths = Math.round(failing * 100);
  return fc.oneof(
    { weight: 100 - hundredths, arbitrary: fc.constant('succeed' as const) },
    { weight: hundredths, arbitrary: fc.constantFrom<Behaviour>('flaky', 'fail') },
  );
}
const runIfs: fc.Arbitrary<Step['runIf']> = fc.oneof(
  { weight: 4, arbitrary: fc.constant('all_succeeded' as const) },
  { weight: 1, arbitrary: fc.constantFrom('all_done', 'any_succeeded') },
);

function settledByHand(n: number): fc.Arbitrary<Work> {
  return fc.record({
    kind: fc.constant('by_hand' as const),
    n: fc.constant(n),
    as: fc.constantFrom('skipped', 'completed'),
  });
}

function fannedOut(mix: Mix): fc.Arbitrary<Work> {
  return fc.record({
    kind: fc.constant('items' as const),
    items: fc.array(behaviours({ ...mix, failing: mix.failing / 3 }), { maxLength: 6 }),
    given: fc.constantFrom('literal', 'template', 'cel'),
    maxParallel: fc.constantFrom(undefined, 1, 2, 3),
    onItemFailure: fc.constantFrom('fail', 'continue'),
  });
}

const ITERATIONS = 4;

/** Where runs are retried by hand a loop never runs out of iterations: with new ones it would succeed after all. */
function looped({ unheard }: Mix): fc.Arbitrary<Work> {
  const until = fc.integer({ min: 1, max: ITERATIONS });
  const max = unheard ? fc.constant(ITERATIONS) : fc.integer({ min: 2, max: ITERATIONS });
  return fc.record({ kind: fc.constant('loop' as const), until, max });
}

function doneElsewhere(n: number, mix: Mix): fc.Arbitrary<Work> {
  return fc.record({ kind: fc.constant('external' as const), n: fc.constant(n), behave: behaviours(mix) });
}

function signalled(n: number): fc.Arbitrary<Work> {
  return fc.record({
    kind: fc.constant('signal' as const),
    n: fc.constant(n),
    comes: fc.constantFrom('early', 'late', 'never'),
    onTimeout: fc.constantFrom('fail', 'continue'),
  });
}

function asked(): fc.Arbitrary<Work> {
  return fc.record({
    kind: fc.constant('approval' as const),
    decided: fc.constantFrom('approved', 'rejected', 'by_nobody'),
    onTimeout: fc.constantFrom('fail', 'approve', 'reject', 'escalate'),
    onReject: fc.constantFrom('fail', 'continue'),
  });
}

function child(mix: Mix): fc.Arbitrary<Work> {
  const inner: Mix = {
    ...mix,
    size: Math.min(4, mix.size),
    depth: mix.depth - 1,
    cache: false,
    limited: false,
    deduped: false,
  };
  // Nobody ends one that is alone.
  return onceIn(4).chain((alone) =>
    plots(alone ? { ...inner, endless: false } : inner).map((plot) => ({ kind: 'child' as const, plot, alone })),
  );
}

function works(n: number, mix: Mix): fc.Arbitrary<Work> {
  const short = fc.integer({ min: 0, max: mix.workMs });
  const [min, max] = mix.longMs ?? [0, mix.workMs];
  const called = fc.oneof({ weight: 5, arbitrary: short }, { weight: 1, arbitrary: fc.integer({ min, max }) });
  const told = (kind: 'echo' | 'call', workMs: fc.Arbitrary<number>) =>
    fc.record({ kind: fc.constant(kind), n: fc.constant(n), behave: behaviours(mix), workMs });
  return fc.oneof(
    { weight: 8, arbitrary: told('echo', short) },
    { weight: 4, arbitrary: told('call', called) },
    { weight: 3, arbitrary: fc.constant({ kind: 'compute' as const, n }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: mix.waitMs }) }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'overdue' as const, n }) },
    ...(mix.parts
      ? [
          { weight: 2, arbitrary: fannedOut(mix) },
          { weight: 1, arbitrary: looped(mix) },
        ]
      : []),
    ...(mix.external ? [{ weight: 1, arbitrary: doneElsewhere(n, mix) }] : []),
    ...(mix.signals ? [{ weight: 1, arbitrary: signalled(n) }] : []),
    ...(mix.approvals ? [{ weight: 1, arbitrary: asked() }] : []),
    ...(mix.depth > 0 ? [{ weight: 1, arbitrary: child(mix) }] : []),
    ...(mix.control ? [{ weight: 1, arbitrary: settledByHand(n) }] : []),
  );
}

/** One time of so many. */
function seldom<T>(times: number, value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
}

function onceIn(times: number): fc.Arbitrary<boolean> {
  return seldom(times, fc.constant(true)).map((drawn) => drawn ?? false);
}

type Loose = Omit<Step, 'id' | 'after' | 'when'> & { when: 'none' | 'yes' | 'no' | 'output'; atLeast: number };

function loose(n: number, mix: Mix): fc.Arbitrary<Loose> {
  return fc.record({
    naming: fc.constantFrom('declared', 'template', 'both'),
    runIf: runIfs,
    when: fc.oneof(
      { weight: 6, arbitrary: fc.constant('none' as const) },
      { weight: 2, arbitrary: fc.constantFrom('yes', 'no', 'output', 'output') },
    ),
    atLeast: fc.integer({ min: 0, max: mix.size }),
    onFailure: fc.constantFrom('fail', 'continue'),
    maxAttempts: fc.constantFrom(1, 2),
    delayMs: seldom(10, fc.integer({ min: 1, max: mix.waitMs })),
    priority: seldom(3, fc.integer({ min: 1, max: 100 })),
    cached: mix.cache ? onceIn(8) : fc.constant(false),
    undone: mix.sagas ? seldom(6, behaviours({ ...mix, failing: mix.failing / 2 })) : fc.constant(undefined),
    work: works(n, mix),
  });
}

/** `graphs`: what depends on what; anything when left out. */
export function plots(mix: Mix = MIX, graphs: fc.Arbitrary<Edges> = dags(mix.size)): fc.Arbitrary<Plot> {
  return fc.noBias(
    graphs
      .chain((edges) => {
        const size = Object.keys(edges).length;
        return fc.record({
          edges: fc.constant(edges),
          limited: mix.limited ? onceIn(10) : fc.constant(false),
          deduped: mix.deduped
            ? seldom(8, fc.constantFrom<NonNullable<Plot['deduped']>>('reject', 'return_existing'))
            : fc.constant(undefined),
          paused: mix.control ? onceIn(8) : fc.constant(false),
          endedBy: fc.constantFrom<Plot['endedBy']>('cancellation', 'deadline'),
          steps: fc.tuple(...Array.from({ length: size }, (_, n) => loose(n, mix))),
          /** Of which action the run makes its output. */
          picked: seldom(3, fc.nat(size - 1)),
          /** Which action never ends by itself. */
          endless: mix.endless ? seldom(10, fc.nat(size - 1)) : fc.constant(undefined),
        });
      })
      .map((drawn) => assemble(drawn, mix)),
  );
}

const UNDOABLE: ReadonlySet<Work['kind']> = new Set([
  'echo',
  'call',
  'compute',
  'external',
  'items',
  'loop',
  'child',
  'overdue',
]);
const CACHEABLE: ReadonlySet<Work['kind']> = new Set(['echo', 'call', 'compute']);

function assemble(
  drawn: {
    edges: Edges;
    steps: Loose[];
    picked: number | undefined;
    endless: number | undefined;
    endedBy: Plot['endedBy'];
    paused: boolean;
    limited: boolean;
    deduped: Plot['deduped'];
  },
  mix: Mix,
): Plot {
  const ids = Object.keys(drawn.edges);
  const workOf = (index: number): Work =>
    index === drawn.endless
      ? { kind: 'wait', ms: 'never' }
      : (drawn.steps[index]?.work ?? { kind: 'compute', n: index });
  const givesNumber = (id: string) => numberPath(workOf(ids.indexOf(id))) !== undefined;
  const steps = drawn.steps.map(({ when, atLeast, ...step }, index): Step => {
    const id = ids[index] ?? '';
    const after = drawn.edges[id] ?? [];
    const work = workOf(index);
    // Which of its items a fan-out has done that is given up is anybody's guess, and so is whether there is something to undo.
    const mayBeGivenUp =
      work.kind === 'items' && work.onItemFailure === 'fail' && work.items.some((one) => one !== 'succeed');
    const undone = UNDOABLE.has(work.kind) && !mayBeGivenUp ? step.undone : undefined;
    const cached = step.cached && undone === undefined && CACHEABLE.has(work.kind);
    const mayBeUnheard = mix.unheard && work.kind === 'call' && work.behave === 'flaky';
    const maxAttempts = mayBeUnheard ? 2 : step.maxAttempts;
    return {
      ...step,
      cached,
      undone,
      maxAttempts,
      id,
      after,
      when: conditionOf(when, atLeast, after.find(givesNumber)),
      work,
    };
  });
  const picked = drawn.picked === undefined ? undefined : ids[drawn.picked];
  const output = picked === undefined || !givesNumber(picked) ? 'of_the_last' : { of: picked };
  return {
    ...{ steps, output, paused: drawn.paused, limited: drawn.limited, deduped: drawn.deduped },
    endedBy: drawn.endless === undefined ? 'cancellation' : drawn.endedBy,
    rounds: steps.some(({ cached }) => cached) ? 2 : 1,
  };
}

function conditionOf(when: Loose['when'], atLeast: number, step: string | undefined): Condition | undefined {
  if (when === 'none') return undefined;
  if (when !== 'output') return { of: 'parameter', holds: when === 'yes' };
  return step === undefined ? undefined : { of: 'output', step, atLeast };
}
