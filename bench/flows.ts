/**
 * `npm run bench -- --flows 5000`: flow runs a second that come by messages, beside the same runs by the bulk API. Both ways
 * are those of one product with a transport on; the brokers are librdkafka's mock cluster, and what publishes is its client,
 * in a process of its own. Of both the clock runs from the first message or request to the end of the last run.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { table } from '../test/harness/command-line/table.ts';
import { type Kafka, type ProducedMessage, startKafka } from '../test/harness/kafka/start-kafka.ts';
import { countOpen, createWorkflow, type Product, startProduct } from './product.ts';
import { median } from './quantiles.ts';
import type { Servers } from './servers.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

const TOPICS = ['flow_runs', 'task_queue', 'task_done', 'task_failed', 'dead_letter_queue', 'agent.audit'];
/** A partition of the mock cluster keeps 5 MB, and a request has about 300 bytes. */
const PARTITIONS = 6;
const MAX_RUNS = 50_000;
const WARM_SHARE = 0.5;
const POLL_MS = 20;

export interface FlowOptions {
  flows: number;
  repeat: number;
  workloads: readonly Workload[];
}

interface Measured {
  workload: Workload;
  byMessages: number;
  byBulk: number;
}

export async function measureFlows(
  servers: Servers,
  { flows, repeat, workloads }: FlowOptions,
  say: (line: string) => void,
): Promise<string> {
  if (flows > MAX_RUNS) throw new Error(`--flows: at most ${MAX_RUNS}, as the brokers keep no more messages`);
  const kafka = await startKafka({ topics: TOPICS, partitions: PARTITIONS });
  try {
    const product = await startProduct(servers, undefined, {
      KAFKA_BOOTSTRAP_SERVERS: kafka.servers.join(','),
      KAFKA_AUTO_OFFSET_RESET: 'earliest',
    });
    try {
      const measured: Measured[] = [];
      for (const workload of workloads.length === WORKLOADS.length ? workloads.slice(0, 2) : workloads) {
        say(`${workload.id}: ${workload.title}`);
        measured.push(await compare({ servers, kafka, product }, workload, { flows, repeat }, say));
      }
      return reportOf(measured, flows);
    } finally {
      await product.stop();
    }
  } finally {
    await kafka.stop();
  }
}

interface World {
  servers: Servers;
  kafka: Kafka;
  product: Product;
}

async function compare(
  world: World,
  workload: Workload,
  { flows, repeat }: Pick<FlowOptions, 'flows' | 'repeat'>,
  say: (line: string) => void,
): Promise<Measured> {
  const { product } = world;
  // Of single tasks too the bulk API for workflows.
  const flow = { ...workload, id: `flow ${workload.id}`, tasks: Number.POSITIVE_INFINITY };
  const flowId = await createWorkflow(product.port, workload);
  const byMessages: number[] = [];
  const byBulk: number[] = [];
  const warm = Math.ceil(flows * WARM_SHARE);
  await runByMessages(world, flowId, warm);
  await product.bulk.run(flow, warm);
  for (let round = 0; round < repeat; round += 1) {
    byMessages.push(perSecond(flows, await runByMessages(world, flowId, flows)));
    byBulk.push(perSecond(flows, await product.bulk.run(flow, flows)));
    say(`  by messages ${byMessages.at(-1)?.toFixed(0)}/s, by the bulk API ${byBulk.at(-1)?.toFixed(0)}/s`);
  }
  return { workload, byMessages: median(byMessages), byBulk: median(byBulk) };
}

/** Milliseconds from the first message to the end of the last run. */
async function runByMessages({ servers: { observer }, kafka }: World, flowId: string, runs: number): Promise<number> {
  const messages = Array.from({ length: runs }, () => requestFor(flowId, randomUUID()));
  const { rows } = await observer.query<{ last: string }>('SELECT coalesce(max(id), 0)::text AS last FROM flow_run');
  const startedAt = performance.now();
  await kafka.produce(messages);
  while ((await countTaken(observer, rows[0]?.last ?? '0')) < runs) await sleep(POLL_MS);
  while ((await countOpen(observer, 1)) > 0) await sleep(POLL_MS);
  return performance.now() - startedAt;
}

async function countTaken(observer: pg.Pool, after: string): Promise<number> {
  const { rows } = await observer.query<{ taken: number }>({
    name: 'taken-flow-runs',
    text: 'SELECT count(*)::int AS taken FROM flow_run f JOIN run r ON r.id = f.run_id WHERE f.id > $1',
    values: [after],
  });
  return rows[0]?.taken ?? 0;
}

function requestFor(flowId: string, runId: string): ProducedMessage {
  const value = {
    ...{ event_type: 'flow_run_requested', run_id: runId, correlation_id: runId, flow_id: flowId },
    ...{ tenant_id: 'default', user_id: 'bench', input: {}, flow_definition: {}, execution_context: {} },
  };
  return { topic: 'flow_runs', key: runId, value: JSON.stringify(value) };
}

const perSecond = (runs: number, milliseconds: number) => (runs / milliseconds) * 1_000;

function reportOf(measured: readonly Measured[], flows: number): string {
  const rows = measured.map(({ workload, byMessages, byBulk }) => [
    `${workload.id} ${workload.title}`,
    byMessages.toFixed(0),
    byBulk.toFixed(0),
    (byMessages / byBulk).toFixed(2),
  ]);
  return [
    '# Flow runs a second',
    '',
    `${flows} runs at a time, from the first message or request to the end of the last run; medians.`,
    '',
    table(['workload', 'by messages', 'by the bulk API', 'ratio'], rows),
    '',
  ].join('\n');
}
