/**
 * `npm run bench -- --sleepers 1000000`: what runs cost that only sleep. A thousand real ones wait for an approval until they
 * have left the queue; the others are copies of their rows. Before and after, the same work is measured: single tasks, the
 * pass of the reconciler, and what Redis holds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type pg from 'pg';
import { table } from '../test/harness/command-line/table.ts';
import { openConnection, requestOf } from './http-load.ts';
import { type Product, startProduct } from './product.ts';
import { median, quantile } from './quantiles.ts';
import type { Servers } from './servers.ts';
import { WORKLOADS } from './workloads.ts';

const REAL = 1_000;
const COPIED_AT_ONCE = 50_000;
const TASKS = 4_000;
const SAMPLES = 300;
const PASSES = 15;
const WARM_TASKS = 6_000;

interface Measured {
  tasksPerSecond: number;
  p50: number;
  p99: number;
  passMs: number;
  redisBytes: number;
  redisKeys: number;
}

export async function measureSleepers(servers: Servers, count: number, say: (line: string) => void): Promise<string> {
  const product = await startProduct(servers, undefined);
  const { observer: db } = servers;
  try {
    const [workload] = WORKLOADS;
    if (workload === undefined) throw new Error('there is no workload');
    await product.oneByOne.run(workload, WARM_TASKS);
    say('Without sleepers …');
    const before = await measure(servers, product);
    say(`${REAL} real ones …`);
    const model = await fallAsleep(product, db);
    say(`They are ${await shapesOf(db)} shape of rows; ${count - REAL} copies …`);
    for (let made = REAL; made < count; made += COPIED_AT_ONCE)
      await copy(db, model, made, Math.min(COPIED_AT_ONCE, count - made));
    const shapes = await shapesOf(db);
    if (shapes !== 1) throw new Error(`the copies are not as the real ones: ${shapes} shapes`);
    await db.query('ANALYZE run, task, event, approval');
    await product.oneByOne.run(workload, WARM_TASKS);
    say('With sleepers …');
    const after = await measure(servers, product);
    const { rows } = await db.query<{ asleep: number }>(
      `SELECT count(*)::int AS asleep FROM run WHERE status = 'waiting' AND asleep AND left_queue`,
    );
    return compared(rows[0]?.asleep ?? 0, before, after);
  } finally {
    await product.stop();
  }
}

/** The runs wait until nothing of them is in the queue; resolves to one of them. */
async function fallAsleep(product: Product, db: pg.Pool): Promise<string> {
  const connection = openConnection(product.port);
  const definition = {
    name: 'asleep',
    actions: [
      { action_id: 'ask', action_type: 'approval', config: { message: 'Go on?' } },
      { action_id: 'after', action_type: 'test_task', config: {}, depends_on: ['ask'] },
    ],
  };
  const created = await connection.send(requestOf('POST', '/workflows', definition));
  const { workflow_id: id } = JSON.parse(created.body) as { workflow_id: string }; // As the API documents it.
  const { status, body } = await connection.send(
    requestOf('POST', `/workflows/${id}/executions`, { items: Array(REAL).fill({}) }),
  );
  connection.close();
  if (status !== 202) throw new Error(`the API answered ${status}: ${body.slice(0, 500)}`);
  for (;;) {
    const { rows } = await db.query<{ id: string; asleep: number }>(
      `SELECT min(id) AS id, count(*)::int AS asleep FROM run WHERE status = 'waiting' AND left_queue`,
    );
    if (rows[0]?.asleep === REAL) return rows[0].id;
    await sleep(200);
  }
}

/** How many kinds of rows the sleepers have, ids and times left out. */
async function shapesOf(db: pg.Pool): Promise<number> {
  const plain = (table: string) =>
    `(to_jsonb(${table}) - ARRAY['id', 'run_id', 'trace_id', 'commit_id', 'worker', 'gen', 'seq', 'at', 'approval_id']
      - ARRAY(SELECT key FROM jsonb_object_keys(to_jsonb(${table})) AS key WHERE key LIKE '%\\_at' OR key IN ('check_at', 'sleeps_until')))`;
  const { rows } = await db.query<{ shapes: number }>(
    `SELECT count(DISTINCT shape)::int AS shapes FROM (
       SELECT md5(${plain('r')}::text || (SELECT string_agg(${plain('t')}::text, ' ' ORDER BY t.action_id) FROM task t WHERE t.run_id = r.id)
         || (SELECT string_agg(e.kind, ' ' ORDER BY e.id) FROM event e WHERE e.run_id = r.id)
         || (SELECT count(*) FROM approval a WHERE a.run_id = r.id)) AS shape
       FROM run r WHERE r.status = 'waiting') AS sleepers`,
  );
  return rows[0]?.shapes ?? 0;
}

/** Rows of one run under other ids. */
async function copy(db: pg.Pool, model: string, from: number, count: number): Promise<void> {
  for (const table of ['run', 'task', 'event', 'approval']) {
    const { rows } = await db.query<{ column: string; generated: boolean }>(
      `SELECT column_name AS column, is_identity = 'YES' OR coalesce(column_default, '') LIKE 'nextval%' AS generated
       FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position`,
      [table],
    );
    const own = rows.filter(({ generated }) => !generated).map(({ column }) => column);
    const key = table === 'run' ? 'id' : 'run_id';
    const id = `$1 || '-' || n`;
    const values = own.map((column) => (column === key ? id : `m."${column}"`));
    await db.query(
      `INSERT INTO "${table}" (${own.map((column) => `"${column}"`).join(', ')})
       SELECT ${values.join(', ')} FROM "${table}" m CROSS JOIN generate_series($2::int, $3::int) AS n WHERE m."${key}" = $1`,
      [model, from, from + count - 1],
    );
  }
}

async function measure(servers: Servers, product: Product): Promise<Measured> {
  const [workload] = WORKLOADS;
  if (workload === undefined) throw new Error('there is no workload');
  const times: number[] = [];
  for (let turn = 0; turn < 3; turn += 1) times.push(await product.oneByOne.run(workload, TASKS));
  const took = (await product.oneByOne.latencies?.(workload, SAMPLES)) ?? [];
  const passMs: number[] = [];
  for (let last = ''; passMs.length < PASSES; await sleep(100)) {
    const { rows } = await servers.observer.query<{ at: string; ms: number }>(
      'SELECT at::text, duration_ms::float8 AS ms FROM sweep_pass ORDER BY at DESC LIMIT 1',
    );
    const pass = rows[0];
    if (pass === undefined || pass.at === last) continue;
    last = pass.at;
    passMs.push(pass.ms);
  }
  const redis = new Redis(servers.redis.url);
  const info = await redis.info('memory');
  const redisKeys = await redis.dbsize();
  redis.disconnect();
  return {
    tasksPerSecond: TASKS / (median(times) / 1_000),
    p50: median(took),
    p99: quantile(took, 0.99),
    passMs: median(passMs),
    redisBytes: Number(/used_memory:(\d+)/.exec(info)?.[1] ?? 0),
    redisKeys,
  };
}

function compared(asleep: number, before: Measured, after: Measured): string {
  const row = (name: string, pick: (measured: Measured) => number, digits = 1) => [
    name,
    pick(before).toFixed(digits),
    pick(after).toFixed(digits),
    (pick(after) / pick(before)).toFixed(2),
  ];
  return table(
    ['', 'none asleep', `${asleep} asleep`, 'ratio'],
    [
      row('single tasks per second', (m) => m.tasksPerSecond, 0),
      row('a task from request to result, p50 ms', (m) => m.p50),
      row('a task from request to result, p99 ms', (m) => m.p99),
      row('a reconcile pass, ms', (m) => m.passMs),
      row('memory of Redis, MB', (m) => m.redisBytes / 1e6),
      row('keys in Redis', (m) => m.redisKeys, 0),
    ],
  );
}
