/** The runs that a seed begins, and what clients do to them meanwhile. A pure function of the seed, as the faults are. */
import fc from 'fast-check';
import type { Foretold } from '../../harness/checker/promises.ts';
import type { Edges } from '../../harness/dags.ts';
import { createRandom, type Random } from '../../harness/random.ts';
import { MIX, type Mix, plots } from '../model/arbitrary.ts';
import type { Plot } from '../model/forms.ts';
import { promiseOf } from './promise-of.ts';

export interface PlannedRun {
  atMs: number;
  idempotencyKey: string;
  /** The number of a workflow, or a single task for the simple door. */
  of: { workflow: number } | { task: SingleTask };
  /** The same request is sent twice at once. */
  twice: boolean;
  cancelAfterMs: number | undefined;
  /** By the door for many at once. */
  cancelsMany: boolean;
  retryAfterMs: number | undefined;
}
export interface SingleTask {
  kind: 'call' | 'echo';
  behave: 'succeed' | 'fail' | 'flaky';
  n: number;
  workMs: number;
}
export interface Load {
  workflows: Plot[];
  /** In the order of their times. */
  runs: PlannedRun[];
}

const RANDOM_GRAPHS = 10;
const RUNS_PER_SECOND = 6;
/** The one action of a task of the simple door. */
const TASK = 'task';
/** Some take longer than a lock, so that a fault finds them at work. */
const FAULT_MIX: Mix = {
  ...MIX,
  size: 10,
  workMs: 80,
  longMs: [800, 2_500],
  waitMs: 1_500,
  failing: 0.2,
  unheard: true,
  depth: 1,
};

export function loadOf(seed: number, loadMs: number): Load {
  const random = createRandom(seed ^ 0x10ad);
  const any = fc.sample(plots(FAULT_MIX), { seed, numRuns: RANDOM_GRAPHS });
  const shaped = SHAPES.flatMap((edges) => fc.sample(plots(FAULT_MIX, fc.constant(edges)), { seed, numRuns: 1 }));
  const workflows = [...any, ...shaped];
  const runs = Array.from({ length: Math.round((loadMs / 1_000) * RUNS_PER_SECOND) }, (_, n): PlannedRun => {
    const isTask = random.chance(0.3);
    const of = isTask ? { task: singleTask(random, n) } : { workflow: random.whole(0, workflows.length - 1) };
    return {
      atMs: random.whole(0, loadMs),
      idempotencyKey: `seed-${seed}-${n}`,
      of,
      twice: random.chance(0.1),
      cancelAfterMs: random.chance(0.1) ? random.whole(50, 3_000) : undefined,
      cancelsMany: random.chance(0.5),
      retryAfterMs: random.chance(0.2) ? random.whole(2_000, 6_000) : undefined,
    };
  });
  return { workflows, runs: runs.sort((a, b) => a.atMs - b.atMs) };
}

const fan = (width: number, gather: boolean): Edges => {
  const middle = Array.from({ length: width }, (_, n) => `m${n}`);
  return { a: [], ...Object.fromEntries(middle.map((id) => [id, ['a']])), ...(gather ? { z: middle } : {}) };
};
const SHAPES: Edges[] = [
  { a: [], b: ['a'], c: ['b'], d: ['c'], e: ['d'] },
  { a: [], b: ['a'], c: ['a'], d: ['b', 'c'] },
  { a: [], b: ['a'], c: ['a'], d: ['b', 'c'], e: ['d'], f: ['d'], g: ['e', 'f'] },
  // Crossed: what gates are for.
  { a: [], b: ['a'], c: ['a'], d: ['b', 'c'], e: ['b', 'c'], f: ['d', 'e'] },
  { a: [], b: [], c: ['a', 'b'], d: ['a', 'b'], e: ['a', 'c'], f: ['b', 'd'] },
  fan(12, true),
  fan(8, false),
];

function singleTask(random: Random, n: number): SingleTask {
  const behave = random.chance(0.85) ? 'succeed' : random.pick(['fail', 'flaky']);
  const workMs = random.chance(0.2) ? random.whole(800, 2_500) : random.whole(0, 80);
  return { kind: random.pick(['call', 'call', 'echo']), behave, n, workMs };
}

/** As a client would send it to the simple door. */
export function requestOf({ kind, behave, n, workMs }: SingleTask, serviceUrl: string): object {
  const max_attempts = behave === 'flaky' ? 2 : 1;
  if (kind === 'call') {
    const json = { n, from: [], work_ms: workMs, behave };
    return { task_type: 'http_request', params: { url: `${serviceUrl}/task`, method: 'POST', json }, max_attempts };
  }
  return { task_type: 'test_task', params: echoParams(behave, n, workMs), max_attempts };
}

function echoParams(behave: SingleTask['behave'], n: number, workMs: number): object {
  const failure = { fail_with: 'as told', ...(behave === 'flaky' ? { fail_attempts: 1 } : {}) };
  return { n, duration: workMs / 1_000, ...(behave === 'succeed' ? {} : failure) };
}

export function promiseOfRun(load: Load, { of }: PlannedRun): Foretold {
  if ('workflow' in of) return promiseOf(plotOf(load, of.workflow));
  const { kind, behave, n, workMs } = of.task;
  const status = behave === 'fail' ? 'failed' : 'completed';
  const max = behave === 'flaky' ? 2 : 1;
  const output = kind === 'call' ? { n, from: [] } : echoParams(behave, n, workMs);
  const attempts = { min: kind === 'call' ? 1 : max, max };
  return {
    expected: { status, tasks: { [TASK]: { status, output: behave === 'fail' ? null : output, attempts } } },
    comparable: (_, answer) => (kind === 'call' ? withoutNumber(answer) : answer),
    childOf: () => undefined,
  };
}

export function plotOf({ workflows }: Load, number: number): Plot {
  const plot = workflows[number];
  if (plot === undefined) throw new Error(`no workflow ${number}`);
  return plot;
}

/** What the service was asked, without the number that each of its answers has. */
function withoutNumber(output: unknown): unknown {
  if (output === null) return null;
  const { given: _, ...rest } = (output as { body: Record<string, unknown> }).body; // As the service answers.
  return rest;
}
