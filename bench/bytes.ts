/**
 * `npm run bench -- --bytes 5000`: what a task leaves behind. Bytes in the tables and indexes of PostgreSQL and in its
 * write-ahead log, of single tasks and of chains, and what a run that is queued takes in Redis. No time is measured.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type pg from 'pg';
import { table } from '../test/harness/command-line/table.ts';
import { type Product, startProduct } from './product.ts';
import { describeMachine } from './report.ts';
import type { Servers } from './servers.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

/** Statistics, plans and the first pages of every table are there. */
const WARM_TASKS = 500;
/** Runs are marked as running half a second after their start, and calls are written down in batches. */
const SETTLES_MS = 1_500;

interface Stored {
  heap: number;
  indexes: number;
  wal: number;
  /** Of the log, pages that are written whole because they are the first of their kind since a checkpoint. */
  fullPages: number;
}

export interface BytesPerTask extends Stored {
  workload: string;
  title: string;
  tasks: number;
}

export interface Bytes {
  perTask: BytesPerTask[];
  redisPerQueuedRun: number;
  queuedRuns: number;
}

export async function measureBytes(servers: Servers, tasks: number, say: (line: string) => void): Promise<Bytes> {
  const product = await startProduct(servers, undefined);
  try {
    const perTask: BytesPerTask[] = [];
    for (const workload of WORKLOADS.filter(({ id }) => id === 'W1' || id === 'W2')) {
      say(`${workload.id}: ${workload.title}`);
      perTask.push(await bytesOf(servers, product, workload, tasks));
    }
    say('Queued runs …');
    return { perTask, redisPerQueuedRun: await bytesOfQueued(servers, product, tasks), queuedRuns: tasks };
  } finally {
    await product.stop();
  }
}

async function bytesOf(servers: Servers, product: Product, workload: Workload, tasks: number): Promise<BytesPerTask> {
  const runs = Math.ceil(tasks / workload.tasks);
  await product.oneByOne.run(workload, WARM_TASKS);
  await sleep(SETTLES_MS);
  const before = await storedIn(servers.observer);
  await product.oneByOne.run(workload, runs);
  await sleep(SETTLES_MS);
  const after = await storedIn(servers.observer);
  const done = runs * workload.tasks;
  const each = (pick: (stored: Stored) => number) => (pick(after) - pick(before)) / done;
  return {
    workload: workload.id,
    title: workload.title,
    tasks: done,
    heap: each(({ heap }) => heap),
    indexes: each(({ indexes }) => indexes),
    wal: each(({ wal }) => wal),
    fullPages: each(({ fullPages }) => fullPages),
  };
}

async function storedIn(db: pg.Pool): Promise<Stored> {
  const { rows } = await db.query<Record<keyof Stored, string>>(
    `SELECT sum(pg_table_size(c.oid)) AS heap, sum(pg_indexes_size(c.oid)) AS indexes,
            pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS wal,
            (SELECT wal_fpi FROM pg_stat_wal) * current_setting('block_size')::int AS "fullPages"
     FROM pg_class c WHERE c.relkind IN ('r', 'm') AND c.relnamespace = 'public'::regnamespace`,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('the sizes are missing');
  return {
    heap: Number(row.heap),
    indexes: Number(row.indexes),
    wal: Number(row.wal),
    fullPages: Number(row.fullPages),
  };
}

/** While no worker takes them. */
async function bytesOfQueued(servers: Servers, product: Product, runs: number): Promise<number> {
  const [workload] = WORKLOADS;
  if (workload === undefined) throw new Error('there is no workload');
  await product.stopWorkers();
  const redis = new Redis(servers.redis.url);
  try {
    const used = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1] ?? 0);
    const before = await used();
    await product.post(workload, runs);
    await sleep(SETTLES_MS);
    return ((await used()) - before) / runs;
  } finally {
    redis.disconnect();
  }
}

export function reportOfBytes({ perTask, redisPerQueuedRun, queuedRuns }: Bytes): string {
  const rows = perTask.map(({ workload, title, tasks, heap, indexes, wal, fullPages }) => [
    workload,
    title,
    ...[tasks, heap, indexes, wal, fullPages].map((value) => value.toFixed(0)),
  ]);
  return `# What a task leaves behind

${describeMachine()}. Tasks with a small input and output, a request per run, without retention; PostgreSQL with full_page_writes. Bytes for each task.

${table(['', '', 'tasks', 'tables', 'indexes', 'write-ahead log', 'of it whole pages at most'], rows)}

A queued run of one task in Redis: ${redisPerQueuedRun.toFixed(0)} bytes (${queuedRuns} runs, no worker).
`;
}
