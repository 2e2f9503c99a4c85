/**
 * The independent check: what must hold at rest, read from PostgreSQL and the queue alone. It uses nothing of the engine,
 * so that a fault of the engine cannot hide itself.
 */
import type { Redis } from 'ioredis';
import type pg from 'pg';
import { until } from './until.ts';

export interface Checked {
  db: pg.Pool;
  /** Undefined: the queue is in the same database. */
  redis: Redis | undefined;
  queuePrefix: string;
  /** What an earlier test has failed for: it is not held against the ones after it. */
  reported: Set<string>;
}

interface Rule {
  rule: string;
  /** Gives one row per violation. */
  sql: string;
}

/** The actions of every run: of its version, or the one task of the simple door. */
const ACTIONS = `
  SELECT r.id AS run_id, a.value->>'action_id' AS action_id, a.value->'depends_on' AS depends_on
  FROM run r JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.workflow_version,
       jsonb_array_elements(v.definition->'actions') a`;

const RULES: Rule[] = [
  {
    rule: 'a final run has a final row for every action',
    sql: `SELECT a.run_id, a.action_id FROM (${ACTIONS}) a JOIN run r ON r.id = a.run_id AND r.final
          LEFT JOIN task t ON t.run_id = a.run_id AND t.action_id = a.action_id WHERE t.final IS NOT TRUE
          UNION ALL
          SELECT r.id, '(its only one)' FROM run r WHERE r.final AND r.workflow_id IS NULL
            AND (SELECT count(*) FROM task t WHERE t.run_id = r.id AND t.final) <> 1`,
  },
  {
    rule: 'at most one attempt of a task completes in an epoch, and it is told once',
    sql: `SELECT run_id, action_id, epoch, count(*)::int FROM attempt WHERE status = 'completed' GROUP BY 1, 2, 3 HAVING count(*) > 1
          UNION ALL
          SELECT run_id, action_id, epoch, count(*)::int FROM event
          WHERE kind IN ('task.completed', 'task.failed', 'task.skipped', 'task.cancelled', 'task.upstream_failed')
          GROUP BY 1, 2, 3 HAVING count(*) > 1`,
  },
  {
    rule: 'a run ends once in an epoch',
    sql: `SELECT run_id, epoch, count(*)::int FROM event WHERE kind IN ('run.completed', 'run.failed', 'run.cancelled')
          GROUP BY 1, 2 HAVING count(*) > 1`,
  },
  {
    rule: 'a run ends as its tasks say',
    sql: `SELECT r.id, r.status FROM run r,
            LATERAL (SELECT bool_or(t.status = 'failed' AND NOT t.tolerated) AS failed, bool_or(t.status = 'upstream_failed') AS blocked
                     FROM task t WHERE t.run_id = r.id) s
          WHERE r.final AND ((r.status = 'completed' AND s.failed) OR (r.status = 'failed' AND NOT s.failed))`,
  },
  {
    rule: 'attempts are numbered without gaps and end after they began',
    sql: `SELECT run_id, action_id, epoch, count(*)::int, max(attempt) FROM attempt GROUP BY 1, 2, 3
          HAVING max(attempt) <> count(*) OR bool_or(finished_at < started_at)`,
  },
  {
    rule: 'no action starts before all of its dependencies are committed',
    sql: `SELECT t.run_id, t.action_id, d.action_id AS dependency, t.started_at, d.finished_at
          FROM (${ACTIONS}) a
          JOIN attempt t ON t.run_id = a.run_id AND t.action_id = a.action_id
          CROSS JOIN
          LATERAL jsonb_array_elements_text(a.depends_on) AS named(id)
          JOIN task d ON d.run_id = a.run_id AND d.action_id = named.id
          WHERE d.finished_at IS NULL OR t.started_at < d.finished_at`,
  },
];

/** Waits until every run is final and the queue is empty, then looks at every rule. Throws what is violated. */
export async function expectRest(checked: Checked, timeoutMs = 20_000): Promise<void> {
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
  await look('not final', () => openRuns(checked.db));
  await look('left in the queue', () => leftovers(checked));
  for (const { rule, sql } of RULES) {
    const rows = (await checked.db.query<object>(sql)).rows.filter(isNew);
    if (rows.length > 0) faults.push(`not true that ${rule}: ${show(rows)}`);
    for (const row of rows) checked.reported.add(JSON.stringify(row));
  }
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

function show(rows: readonly object[]): string {
  return `${rows
    .slice(0, 5)
    .map((row) => JSON.stringify(row))
    .join(', ')}${rows.length > 5 ? ` and ${rows.length - 5} more` : ''}`;
}

async function openRuns(db: pg.Pool): Promise<object[]> {
  const { rows } = await db.query<object>('SELECT id, status FROM run WHERE NOT final');
  return rows;
}

/** Jobs that are neither completed nor failed, of every queue. */
export async function leftovers({
  db,
  redis,
  queuePrefix,
}: Checked): Promise<Array<{ queue: string; id: string; state: string }>> {
  if (redis === undefined) {
    const { rows } = await db.query<{ queue: string; id: string; state: string }>(
      `SELECT queue, id, state::text FROM bullmq.job WHERE state NOT IN ('completed', 'failed') ORDER BY 1, 2`,
    );
    return rows;
  }
  const found: Array<{ queue: string; id: string; state: string }> = [];
  for (const key of await keysOf(redis, queuePrefix)) {
    const [queue = '', state = ''] = key.slice(queuePrefix.length + 1).split(':');
    if (!OPEN_STATES.has(state) || key.split(':').length !== queuePrefix.split(':').length + 2) continue;
    const isList = (await redis.type(key)) === 'list';
    const ids = isList ? await redis.lrange(key, 0, -1) : await redis.zrange(key, 0, -1);
    found.push(...ids.map((id) => ({ queue, id, state })));
  }
  return found;
}
const OPEN_STATES = new Set(['wait', 'active', 'delayed', 'prioritized', 'waiting-children', 'paused']);

export async function keysOf(redis: Redis, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of redis.scanStream({ match: `${prefix}:*`, count: 1_000 })) keys.push(...(page as string[])); // Keys are texts.
  return [...new Set(keys)];
}
