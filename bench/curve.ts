/** The cost curve: throughput with many queued runs, with more workers, and of wide fan-outs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { table } from '../test/harness/command-line/table.ts';
import type { Options } from './options.ts';
import { plot } from './plot.ts';
import { type Product, startProduct } from './product.ts';
import { describeMachine } from './report.ts';
import type { Servers } from './servers.ts';
import { fanOut, WORKLOADS, type Workload } from './workloads.ts';

interface Point {
  what: string;
  value: string;
  tasksPerSecond: number;
  /** Resident memory in MB at the end. */
  memory: Record<string, number>;
}

const WORKERS = [1, 2, 4];
/** With its beginning and its end the last has as many actions as a workflow may have. */
const WIDTHS = [1, 100, 9_998];
/** Fewer runs than this under way say little about the speed. */
const TASKS_OF_FAN_OUTS = 10_000;

export async function measureCurve(
  servers: Servers,
  { backlogs, seconds, profile }: Options,
  say: (line: string) => void,
): Promise<{ table: string; svg: string }> {
  const product = await startProduct(servers, profile);
  const single = WORKLOADS[0];
  if (single === undefined) throw new Error('there are no workloads');
  const points: Point[] = [];
  const note = (point: Point) => {
    points.push(point);
    say(`  ${point.what} ${point.value}: ${point.tasksPerSecond.toFixed(0)} tasks/s`);
  };
  try {
    say('Warming up …');
    await drain(product, single, Math.max(1_000, 1_000 * seconds));
    for (const runs of backlogs) {
      await product.stopWorkers();
      await product.post(single, runs);
      await product.addWorker();
      note({ what: 'queued runs', value: String(runs), ...(await drained(product, runs)) });
    }
    for (const workers of WORKERS) {
      await product.stopWorkers();
      for (let started = 0; started < workers; started += 1) await product.addWorker();
      await drain(product, single, 2_000);
      note({ what: 'workers', value: String(workers), ...(await drain(product, single, 10_000)) });
    }
    await product.stopWorkers();
    await product.addWorker();
    for (const width of WIDTHS) {
      const workload = fanOut(`F${width}`, `fan-out of ${width}`, width);
      await drain(product, workload, 1);
      const runs = Math.max(1, Math.round(TASKS_OF_FAN_OUTS / workload.tasks));
      note({ what: 'fan-out', value: String(width), ...(await drain(product, workload, runs)) });
    }
  } finally {
    await product.stop();
  }
  return { table: reportOf(points), svg: plotOf(points) };
}

async function drain(product: Product, workload: Workload, runs: number) {
  const ms = await product.bulk.run(workload, runs);
  return { tasksPerSecond: (runs * workload.tasks) / (ms / 1000), memory: memoryOf(product) };
}

/** From the start of the worker's first task to the end of the last. */
async function drained(product: Product, runs: number) {
  const begun = performance.now();
  while ((await product.openRuns(1)) > 0) await sleep(20);
  return { tasksPerSecond: runs / ((performance.now() - begun) / 1000), memory: memoryOf(product) };
}

function memoryOf(product: Product): Record<string, number> {
  return Object.fromEntries(
    Object.entries(product.usage()).map(([name, { residentBytes }]) => [name, residentBytes / 1024 ** 2]),
  );
}

function reportOf(points: readonly Point[]): string {
  const rows = points.map(({ what, value, tasksPerSecond, memory }) => [
    what,
    value,
    tasksPerSecond.toFixed(0),
    Object.entries(memory)
      .map(([name, megabytes]) => `${name} ${megabytes.toFixed(0)}`)
      .join(', '),
  ]);
  const head = `# The cost curve\n\n${describeMachine()}. Single tasks through the bulk door, and fan-outs.`;
  return `${head}\n\n${table(['', '', 'tasks/s', 'resident MB'], rows)}\n`;
}

function plotOf(points: readonly Point[]): string {
  return plot({
    title: 'Tasks per second',
    unit: 'tasks/s',
    groups: points.map(({ what, value, tasksPerSecond }) => ({
      label: `${what} ${value}`,
      values: [{ name: 'product, bulk doors', value: tasksPerSecond }],
    })),
  });
}
