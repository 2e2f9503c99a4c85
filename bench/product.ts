/** The product: an API process and worker processes as they are shipped, asked over HTTP, results in PostgreSQL. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { type Child, type Environment, startProcess } from '../test/harness/processes/process.ts';
import { openConnection, requestOf } from './http-load.ts';
import type { Servers } from './servers.ts';
import type { Side } from './side.ts';
import { usageOf, usageOfTree } from './usage.ts';
import type { Workload } from './workloads.ts';

const CONNECTIONS = 64;
const BULK_CONNECTIONS = 2;
const BULK_ITEMS = 1_000;
/** Runs under way at most: fewer than the admission window, so that none of them has to wait in PostgreSQL. */
const MAX_OPEN = 1_000;
const LOOK_EVERY_MS = 50;
const INPUT = { n: 1 };

export interface Product {
  /** Of the API. */
  port: number;
  oneByOne: Side;
  bulk: Side;
  /** Another worker process; resolves when it serves. */
  addWorker(): Promise<void>;
  stopWorkers(): Promise<void>;
  /** Accepts runs without waiting for their ends. */
  post(workload: Workload, runs: number): Promise<void>;
  openRuns(limit: number): Promise<number>;
  usage: Side['usage'];
  stop(): Promise<void>;
}

export async function startProduct(
  servers: Servers,
  profile: string | undefined,
  settings: Environment = {},
): Promise<Product> {
  const processes: Child[] = [];
  const launch = async (kind: Child['kind']) => {
    const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${path.resolve(profile, kind)}`];
    const launched = await startPart(servers, kind, { flags, settings });
    processes.push(launched);
    return launched;
  };
  const api = await launch('api');
  await launch('worker');
  const workflows = new Map<string, string>();

  async function pathsOf(workload: Workload): Promise<{ one: Buffer; bulk(items: number): Buffer }> {
    if (workload.tasks === 1) {
      const task = { task_type: 'test_task', params: INPUT };
      return {
        one: requestOf('POST', '/assign-task', task),
        bulk: (items) => requestOf('POST', '/assign-tasks', { tasks: Array(items).fill(task) }),
      };
    }
    const id = workflows.get(workload.id) ?? (await createWorkflow(api.port, workload));
    workflows.set(workload.id, id);
    return {
      one: requestOf('POST', `/workflows/${id}/execute`, {}),
      bulk: (items) => requestOf('POST', `/workflows/${id}/executions`, { items: Array(items).fill({}) }),
    };
  }

  async function send(workload: Workload, runs: number, bulk: boolean, maxOpen: number): Promise<void> {
    const requests = await pathsOf(workload);
    const whole = bulk ? requests.bulk(BULK_ITEMS) : requests.one;
    let left = runs;
    let mayHaveOpen = maxOpen;
    let look: Promise<void> | undefined;
    const room = async (wanted: number) => {
      while (mayHaveOpen < wanted) {
        look ??= sleep(LOOK_EVERY_MS).then(async () => {
          mayHaveOpen = maxOpen - (await countOpen(servers.observer, maxOpen));
          look = undefined;
        });
        await look;
      }
      mayHaveOpen -= wanted;
    };
    const connections = Array.from({ length: bulk ? BULK_CONNECTIONS : CONNECTIONS }, () => openConnection(api.port));
    await Promise.all(
      connections.map(async (connection) => {
        while (left > 0) {
          const items = bulk ? Math.min(left, BULK_ITEMS) : 1;
          left -= items;
          if (Number.isFinite(maxOpen)) await room(items);
          const request = bulk && items < BULK_ITEMS ? requests.bulk(items) : whole;
          const { status, body } = await connection.send(request);
          if (status !== 202 || (bulk && body.includes('"error"')))
            throw new Error(`the API answered ${status}: ${body.slice(0, 500)}`);
        }
      }),
    );
    for (const connection of connections) connection.close();
  }

  async function run(workload: Workload, runs: number, bulk: boolean): Promise<number> {
    const begun = performance.now();
    await send(workload, runs, bulk, MAX_OPEN);
    while ((await countOpen(servers.observer, 1)) > 0) await sleep(5);
    return performance.now() - begun;
  }

  async function latencies(workload: Workload, samples: number): Promise<number[]> {
    const { one } = await pathsOf(workload);
    const control = openConnection(api.port);
    const took: number[] = [];
    for (let sample = 0; sample < samples; sample += 1) {
      const begun = performance.now();
      const accepted = JSON.parse((await control.send(one)).body) as { task_id?: string; execution_id?: string };
      const id = accepted.task_id ?? accepted.execution_id ?? '';
      const { status } = await control.send(requestOf('GET', `/result/${id}?wait=10`));
      if (status !== 200) throw new Error(`the result was answered with ${status}`);
      took.push(performance.now() - begun);
    }
    control.close();
    return took;
  }

  const usage: Side['usage'] = () => ({
    api: usageOf(api.pid),
    ...Object.fromEntries(
      processes
        .filter(({ kind }) => kind === 'worker')
        .map(({ pid }, index) => [index === 0 ? 'worker' : `worker ${index + 1}`, usageOf(pid)]),
    ),
    redis: usageOf(servers.redis.pid),
    postgres: usageOfTree(servers.postgres.pid),
  });
  const stop = async () => {
    await Promise.all(processes.splice(0).map((launched) => launched.end('SIGTERM')));
  };
  const common = { usage, stop, countsStatements: true };
  return {
    port: api.port,
    oneByOne: {
      ...common,
      id: 'product',
      title: 'product, a request per run',
      run: (w, n) => run(w, n, false),
      latencies,
    },
    bulk: { ...common, id: 'bulk', title: 'product, bulk doors', run: (w, n) => run(w, n, true) },
    async addWorker() {
      await launch('worker');
    },
    async stopWorkers() {
      const workers = processes.filter(({ kind }) => kind === 'worker');
      for (const worker of workers) processes.splice(processes.indexOf(worker), 1);
      await Promise.all(workers.map((worker) => worker.end('SIGTERM')));
    },
    post: (workload, runs) => send(workload, runs, true, Number.POSITIVE_INFINITY),
    openRuns: (limit) => countOpen(servers.observer, limit),
    usage,
    stop,
  };
}

/**
 * Of the workloads, whose runs wait for nothing. The conditions are those of partial indexes, word for word: a look must cost
 * next to nothing, however many runs have ended.
 */
export async function countOpen(observer: pg.Pool, limit: number): Promise<number> {
  const { rows } = await observer.query<{ open: number }>({
    name: 'open-runs',
    text: `SELECT (SELECT count(*) FROM (SELECT 1 FROM run WHERE status = 'pending' AND due_at IS NULL AND waits_for_slot IS NULL LIMIT $1) AS a)::int
                + (SELECT count(*) FROM (SELECT 1 FROM run WHERE NOT final AND status IN ('queued', 'running', 'cancelling', 'compensating') LIMIT $1) AS b)::int
             AS open`,
    values: [limit],
  });
  return rows[0]?.open ?? 0;
}

export async function createWorkflow(port: number, workload: Workload): Promise<string> {
  const actions = workload.actions.map(({ id, dependsOn }) => ({
    action_id: id,
    action_type: 'test_task',
    config: INPUT,
    depends_on: dependsOn,
  }));
  const connection = openConnection(port);
  const { status, body } = await connection.send(requestOf('POST', '/workflows', { name: workload.title, actions }));
  connection.close();
  if (status !== 201) throw new Error(`the workflow was answered with ${status}: ${body}`);
  return (JSON.parse(body) as { workflow_id: string }).workflow_id; // As the API documents it.
}

export interface Part extends Child {
  port: number;
}

/** The settings are those that are delivered, but for where the stores are. */
export async function startPart(
  servers: Servers,
  kind: Child['kind'],
  { flags = [], settings = {} }: { flags?: readonly string[]; settings?: Environment } = {},
): Promise<Part> {
  const child = await startProcess({
    kind,
    cwd: servers.folder,
    settings: { ...environmentOf(servers), ...settings },
    flags,
    onLine: (line) => process.stderr.write(`${line}\n`),
  });
  const { port } = child;
  if (port === undefined) throw new Error(`the ${kind} has no port`);
  return { ...child, port };
}

function environmentOf(servers: Servers): Environment {
  return {
    DATABASE_URL: servers.postgres.url,
    REDIS_URL: servers.redis.url,
    PORT: '0',
    WORKER_PORT: '0',
    LOG_FILE: 'none',
    LOG_LEVEL: 'warn',
    MAX_LIVE_RUNS_PER_TENANT: '0',
  };
}
