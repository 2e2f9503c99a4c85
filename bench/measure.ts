/** Warms all sides for the same time, then measures them in turn, and keeps the medians. */
import { setTimeout as sleep } from 'node:timers/promises';
import { median, quantile } from './quantiles.ts';
import { countStatements, type Servers } from './servers.ts';
import type { Side } from './side.ts';
import type { Workload } from './workloads.ts';

export interface Sample {
  runsPerSecond: number;
  /** Microseconds of CPU per task, by process. */
  cpuPerTask: Record<string, number>;
  statementsPerTask: number | undefined;
}

export interface Result {
  side: string;
  title: string;
  workload: string;
  runsPerSecond: number;
  tasksPerSecond: number;
  /** Runs/s of this side over those of bare BullMQ in the same turn, the median of all turns. */
  ratio: number;
  cpuPerTask: Record<string, number>;
  statementsPerTask: number | undefined;
  latency: { p50: number; p99: number } | undefined;
  residentMb: Record<string, number>;
}

const FIRST_BATCH = 200;
const LATENCY_SAMPLES = 200;

export interface Plan {
  seconds: number;
  warmSeconds: number;
  repeat: number;
  say(line: string): void;
}

/** `sides[0]` is what the others are compared with. */
export async function measureWorkload(
  servers: Servers,
  sides: readonly Side[],
  workload: Workload,
  plan: Plan,
): Promise<Result[]> {
  const rates = new Map<Side, number>();
  for (const side of sides) rates.set(side, await warm(side, workload, plan.warmSeconds));
  const samples = new Map<Side, Sample[]>(sides.map((side) => [side, []]));
  for (let turn = 0; turn < plan.repeat; turn += 1) {
    // Each turn begins with another side, so that none is always first.
    for (let at = 0; at < sides.length; at += 1) {
      const side = sides[(at + turn) % sides.length];
      if (side === undefined) continue;
      const runs = Math.max(10, Math.round((rates.get(side) ?? 0) * plan.seconds));
      const sample = await measure(servers, side, workload, runs);
      samples.get(side)?.push(sample);
      plan.say(`  ${workload.id} ${side.id.padEnd(8)} ${sample.runsPerSecond.toFixed(0)} runs/s`);
    }
  }
  const results: Result[] = [];
  for (const side of sides) {
    const took = await side.latencies?.(workload, LATENCY_SAMPLES);
    results.push(summary(side, workload, samples, sides, took));
  }
  return results;
}

/** Runs/s at the end of the warming up. */
async function warm(side: Side, workload: Workload, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000;
  let runs = Math.max(10, Math.round(FIRST_BATCH / workload.tasks));
  let rate = 0;
  while (performance.now() < until) {
    const ms = await side.run(workload, runs);
    rate = runs / (ms / 1000);
    runs = Math.max(10, Math.round(Math.min(rate * 0.7, runs * 3)));
  }
  return rate;
}

async function measure(servers: Servers, side: Side, workload: Workload, runs: number): Promise<Sample> {
  // What the side before has left to do in the background.
  await sleep(200);
  const statements = await countStatements(servers.observer);
  const before = side.usage();
  const ms = await side.run(workload, runs);
  const after = side.usage();
  const tasks = runs * workload.tasks;
  const made = (await countStatements(servers.observer)) - statements;
  const cpuPerTask = mapValues(after, ({ cpuMs }, name) => ((cpuMs - (before[name]?.cpuMs ?? 0)) * 1000) / tasks);
  return {
    runsPerSecond: runs / (ms / 1000),
    cpuPerTask,
    statementsPerTask: side.countsStatements ? made / tasks : undefined,
  };
}

function summary(
  side: Side,
  workload: Workload,
  samples: ReadonlyMap<Side, Sample[]>,
  [reference]: readonly Side[],
  took: number[] | undefined,
): Result {
  const own = samples.get(side) ?? [];
  const compared = reference === undefined ? [] : (samples.get(reference) ?? []);
  const runsPerSecond = median(own.map((sample) => sample.runsPerSecond));
  const statements = own.flatMap(({ statementsPerTask }) =>
    statementsPerTask === undefined ? [] : [statementsPerTask],
  );
  return {
    side: side.id,
    title: side.title,
    workload: workload.id,
    runsPerSecond,
    tasksPerSecond: runsPerSecond * workload.tasks,
    ratio: median(own.map((sample, turn) => sample.runsPerSecond / (compared[turn]?.runsPerSecond ?? Number.NaN))),
    cpuPerTask: mapValues(own[0]?.cpuPerTask ?? {}, (_, name) =>
      median(own.map(({ cpuPerTask }) => cpuPerTask[name] ?? 0)),
    ),
    statementsPerTask: statements.length === 0 ? undefined : median(statements),
    latency: took === undefined ? undefined : { p50: quantile(took, 0.5), p99: quantile(took, 0.99) },
    residentMb: mapValues(side.usage(), ({ residentBytes }) => residentBytes / 1024 / 1024),
  };
}

function mapValues<T, R>(record: Readonly<Record<string, T>>, map: (value: T, key: string) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}
