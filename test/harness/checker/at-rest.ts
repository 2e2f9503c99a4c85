/**
 * The independent check: what must hold at rest, read from PostgreSQL and the queue alone. It uses nothing of the engine,
 * so that a fault of the engine cannot hide itself.
 */
import type { Cluster, Redis } from 'ioredis';
import type pg from 'pg';
import { until } from '../until.ts';
import { brokenRules, describeViolation, show } from './rules.ts';

export interface Checked {
  db: pg.Pool;
  /** Undefined: the queue is in the same database. */
  redis: Redis | Cluster | undefined;
  queuePrefix: string;
  /** 1 unless said. */
  queueShards?: number;
  /** What an earlier test has failed for: it is not held against the ones after it. */
  reported: Set<string>;
}

/** Waits until every run is final and the queue is empty, then looks at every rule. Throws what is violated. */
export async function expectRest(checked: Checked, timeoutMs = 120_000): Promise<void> {
  const isNew = (row: object) => !checked.reported.has(JSON.stringify(row));
  const faults: string[] = [];
  const look = async (what: string, find: () => Promise<object[]>) => {
    let rows: object[] = [];
    const nothing = async () => {
      rows = (await find()).filter(isNew);
      return rows.length === 0;
    };
    await until(nothing, { timeoutMs }).catch(() => {
      faults.push(`${what}: ${show(rows)}`);
      for (const row of rows) checked.reported.add(JSON.stringify(row));
    });
  };
  await look('I1: not final', () => openRuns(checked.db));
  await look('I5: left in the queue', () => leftovers(checked));
  for (const violation of await brokenRules(checked.db)) {
    const rows = violation.rows.filter(isNew);
    if (rows.length > 0) faults.push(describeViolation({ ...violation, rows }));
    for (const row of rows) checked.reported.add(JSON.stringify(row));
  }
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

async function openRuns(db: pg.Pool): Promise<object[]> {
  const { rows } = await db.query<object>('SELECT id, status FROM run WHERE NOT final');
  return rows;
}

interface Leftover {
  queue: string;
  id: string;
  state: string;
}

/** Jobs that are neither completed nor failed, of every queue. The next tick is there as long as there is a schedule. */
export async function leftovers(checked: Checked): Promise<Leftover[]> {
  return (await openJobs(checked)).filter(({ queue, id }) => queue !== 'schedules' || !id.startsWith('repeat:tick:'));
}

async function openJobs({ db, redis, queuePrefix, queueShards = 1 }: Checked): Promise<Leftover[]> {
  if (redis === undefined) {
    const { rows } = await db.query<Leftover>(
      `SELECT queue, id, state::text FROM bullmq.job WHERE state NOT IN ('completed', 'failed') ORDER BY 1, 2`,
    );
    return rows;
  }
  const found: Leftover[] = [];
  for (const prefix of prefixesOf(queuePrefix, queueShards)) found.push(...(await openJobsOf(redis, prefix)));
  return found;
}

/** Of the tests, whose prefixes have a hash tag. */
export function prefixesOf(prefix: string, shards: number): string[] {
  const tagged = prefix.replace('}', '');
  return [prefix, ...Array.from({ length: shards - 1 }, (_, index) => `${tagged}-${index + 1}}`)];
}

async function openJobsOf(redis: Redis | Cluster, prefix: string): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const key of await keysOf(redis, prefix)) {
    const [queue = '', state = ''] = key.slice(prefix.length + 1).split(':');
    if (!OPEN_STATES.has(state) || key.split(':').length !== prefix.split(':').length + 2) continue;
    const isList = (await redis.type(key)) === 'list';
    const ids = isList ? await redis.lrange(key, 0, -1) : await redis.zrange(key, 0, -1);
    found.push(...ids.map((id) => ({ queue, id, state })));
  }
  return found;
}
const OPEN_STATES = new Set(['wait', 'active', 'delayed', 'prioritized', 'waiting-children', 'paused']);

export async function keysOf(redis: Redis | Cluster, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  // A scan sees the keys of one server alone.
  for (const server of 'nodes' in redis ? redis.nodes('master') : [redis]) {
    const pages = server.scanStream({ match: `${prefix}:*`, count: 1_000 });
    for await (const page of pages) keys.push(...(page as string[])); // Keys are texts.
  }
  return [...new Set(keys)];
}
