/** The table of the results, in Markdown. */
import { cpus, totalmem } from 'node:os';
import { table } from '../test/harness/command-line/table.ts';
import type { Result } from './measure.ts';
import type { Options } from './options.ts';
import { WORKLOADS } from './workloads.ts';

/** What the product is to reach, in runs/s over bare BullMQ. */
export const TARGETS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  product: { W1: 0.25, W2: 0.6, W3: 0.55, W4: 0.6 },
  bulk: { W1: 0.6, W2: 0.7, W3: 0.7, W4: 0.7 },
};

export function describeMachine(): string {
  const cores = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  return `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), ${memory} GB, ${process.platform}, Node ${process.versions.node}`;
}

export function reportOf(results: readonly Result[], options: Options): string {
  const lines = [
    '# Measured side by side',
    '',
    `${describeMachine()}. Load, API, worker, Redis and PostgreSQL share it. Redis with an append-only file, PostgreSQL with fsync and synchronous commit.`,
    `Medians of ${options.repeat} turns of about ${options.seconds} s each, after ${options.warmSeconds} s of warming up each side. Ratio: runs/s over those of bare BullMQ in the same turn. Latency: from the request to the result, one run at a time.`,
    '',
    table(
      ['', 'side', 'runs/s', 'tasks/s', 'ratio', 'target', 'p50 ms', 'p99 ms', 'CPU µs/task', 'statements/task'],
      results.map((result) => [
        result.workload,
        result.title,
        result.runsPerSecond.toFixed(0),
        result.tasksPerSecond.toFixed(0),
        result.ratio.toFixed(2),
        TARGETS[result.side]?.[result.workload]?.toFixed(2) ?? '',
        result.latency?.p50.toFixed(1) ?? '',
        result.latency?.p99.toFixed(1) ?? '',
        sum(result.cpuPerTask).toFixed(0),
        result.statementsPerTask?.toFixed(3) ?? '',
      ]),
    ),
    '',
    '## CPU per task and memory, by process',
    '',
    table(
      ['', 'side', 'µs/task', 'resident MB'],
      results.map((result) => [result.workload, result.title, listOf(result.cpuPerTask), listOf(result.residentMb)]),
    ),
    '',
    WORKLOADS.map(({ id, title, tasks }) => `${id}: ${title}, ${tasks} ${tasks === 1 ? 'task' : 'tasks'}.`).join(' '),
    '',
  ];
  return lines.join('\n');
}

function listOf(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value.toFixed(0)}`)
    .join(', ');
}

function sum(values: Readonly<Record<string, number>>): number {
  return Object.values(values).reduce((total, value) => total + value, 0);
}
