/**
 * BullMQ without the product, producer and worker in one process: one add for each run, and the first job of a fan-out
 * adds the rest. With a database every result is also written there, one INSERT for each, before its job completes.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FlowJob, FlowProducer, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { Order, Reply, Settings } from './bullmq-protocol.ts';
import type { Workload } from './workloads.ts';

interface Data {
  run: string;
  action: string;
  /** The last job of its run. */
  last: boolean;
  /** What this job adds before it completes: the workload's fan-out. */
  fanOut?: Workload['id'];
  n: number;
}

const QUEUE = 'bench';
/** As many as the product's workers take, and as many adds at a time as the benchmark has connections to the product. */
const WORKER_CONCURRENCY = 50;
const ADDS_AT_A_TIME = 64;
/** Runs under way, as in `product.ts`. */
const MAX_OPEN = 1_000;
const POOL_SIZE = 10;
const JOB_OPTIONS = {
  attempts: 3,
  removeOnComplete: { age: 300, count: 1_000 },
  removeOnFail: { age: 86_400, count: 10_000 },
};

const settings = JSON.parse(process.argv[2] ?? '') as Settings; // Written by bullmq-side.ts.
const connection = new Redis(settings.redisUrl, { maxRetriesPerRequest: null });
const { prefix } = settings;
const queue = new Queue<Data>(QUEUE, { connection, prefix });
const flows = new FlowProducer({ connection, prefix });
const pool =
  settings.databaseUrl === undefined
    ? undefined
    : new pg.Pool({ connectionString: settings.databaseUrl, max: POOL_SIZE });
await pool?.query(
  'CREATE TABLE IF NOT EXISTS plain_result (run_id text, action_id text, output jsonb, at timestamptz DEFAULT now(), PRIMARY KEY (run_id, action_id))',
);

const workloads = new Map<string, Workload>();
const ended = new Map<string, () => void>();

const worker = new Worker<Data>(
  QUEUE,
  async ({ data }) => {
    const result = { n: data.n };
    if (pool !== undefined) {
      await pool.query({
        name: 'insert-result',
        text: 'INSERT INTO plain_result (run_id, action_id, output) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
        values: [data.run, data.action, JSON.stringify(result)],
      });
    }
    const workload = data.fanOut === undefined ? undefined : workloads.get(data.fanOut);
    if (workload !== undefined) await flows.add(restOf(workload, data.run));
    return result;
  },
  { connection, prefix, concurrency: WORKER_CONCURRENCY },
);
worker.on('error', (error) => process.stderr.write(`${error.message}\n`));
worker.on('completed', ({ data }) => {
  if (!data.last) return;
  ended.get(data.run)?.();
  ended.delete(data.run);
});
await worker.waitUntilReady();

process.on('message', (order: Order) => {
  workloads.set(order.workload.id, order.workload);
  void carryOut(order).then(tell, (error: unknown) => tell({ error: String(error) }));
});
process.once('disconnect', () => process.exit(0));
tell({ ready: true });

async function carryOut(order: Order): Promise<Reply> {
  const begun = performance.now();
  if (order.do === 'run') {
    let left = order.runs;
    const ends: Promise<void>[] = [];
    await Promise.all(
      Array.from({ length: ADDS_AT_A_TIME }, async () => {
        while (left > 0) {
          left -= 1;
          while (ended.size >= MAX_OPEN) await sleep(1);
          const { end } = await begin(order.workload);
          ends.push(end);
        }
      }),
    );
    await Promise.all(ends);
    return { ms: performance.now() - begun };
  }
  const latencies: number[] = [];
  for (let sample = 0; sample < order.samples; sample += 1) {
    const from = performance.now();
    await (await begin(order.workload)).end;
    latencies.push(performance.now() - from);
  }
  return { latencies };
}

/** Resolves when the run is added; `end` when its last job is done. */
async function begin(workload: Workload): Promise<{ end: Promise<void> }> {
  const run = randomUUID();
  const end = new Promise<void>((resolve) => {
    ended.set(run, resolve);
  });
  const [first] = workload.actions;
  if (first === undefined) throw new Error('a workload without actions');
  if (workload.tasks === 1)
    await queue.add(first.id, dataOf(run, first.id, true), { ...JOB_OPTIONS, jobId: `${run}.a` });
  else if (hasFanOut(workload)) {
    const data = { ...dataOf(run, first.id, false), fanOut: workload.id };
    await queue.add(first.id, data, { ...JOB_OPTIONS, jobId: `${run}.${first.id}` });
  } else await flows.add(restOf(workload, run, -1));
  return { end };
}

/** The flow of all actions after number `after`, as a tree under the last one. */
function restOf(workload: Workload, run: string, after = 0): FlowJob {
  const rest = new Set(workload.actions.slice(after + 1).map(({ id }) => id));
  const node = (id: string, last: boolean): FlowJob => {
    const children =
      workload.actions.find((action) => action.id === id)?.dependsOn.filter((child) => rest.has(child)) ?? [];
    return {
      name: id,
      queueName: QUEUE,
      data: dataOf(run, id, last),
      opts: { ...JOB_OPTIONS, jobId: `${run}.${id}` },
      ...(children.length > 0 ? { children: children.map((child) => node(child, false)) } : {}),
    };
  };
  return node(workload.actions.at(-1)?.id ?? '', true);
}

function hasFanOut({ actions }: Workload): boolean {
  const first = actions[0]?.id ?? '';
  return actions.filter(({ dependsOn }) => dependsOn.includes(first)).length > 1;
}

function dataOf(run: string, action: string, last: boolean): Data {
  return { run, action, last, n: 1 };
}

function tell(reply: Reply): void {
  process.send?.(reply);
}
