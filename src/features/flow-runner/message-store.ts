/** What became of the messages by which tasks go to others, for those who ask why nothing happens. */
import type pg from 'pg';
import type { OpenMessage } from './open-messages.ts';

const ms = (column: string) => `extract(epoch FROM ${column}) * 1000`;

const OPEN = `
SELECT DISTINCT ON (e.action_id) e.action_id, e.topic, e.attempt - 1 AS attempt, e.status,
       (${ms('e.created_at')})::float8 AS created, (${ms('e.published_at')})::float8 AS published,
       (${ms('e.deadline_at')})::float8 AS deadline, (${ms('now()')})::float8 AS now
FROM external_task e
WHERE e.run_id = $1 AND e.tenant_id = $2 AND e.epoch = $3 AND e.action_id = ANY ($4::text[]) AND e.by_message
ORDER BY e.action_id, e.attempt DESC`;

interface RawOpen {
  action_id: string;
  topic: string;
  attempt: number;
  status: string;
  created: number;
  published: number | null;
  deadline: number;
  now: number;
}

/** Of tasks of a run whose newest attempt nobody has answered. */
export async function openMessagesOf(
  pool: pg.Pool,
  run: { id: string; tenantId: string; epoch: number },
  actionIds: readonly string[],
): Promise<OpenMessage[]> {
  const { rows } = await pool.query<RawOpen>(OPEN, [run.id, run.tenantId, run.epoch, actionIds]);
  return rows
    .filter(({ status }) => status === 'leased')
    .map((row) => ({
      ...{ actionId: row.action_id, handler: row.topic, attempt: row.attempt, now: row.now },
      ...{ createdAt: row.created, publishedAt: row.published ?? undefined, deadlineAt: row.deadline },
    }));
}

// Up to so many are counted.
const LOST = `
SELECT e.id FROM external_task e
WHERE e.by_message AND e.status = 'leased' AND e.published_at IS NULL
  AND NOT EXISTS (SELECT FROM flow_outbox o WHERE o.external_task_id = e.id)
ORDER BY e.id LIMIT 1000`;

/** Open tasks that are not published, and of which no message waits either. */
export async function tasksWithoutMessage(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(LOST);
  return rows.map(({ id }) => id);
}

const WAITING = `
SELECT count(*)::int AS messages, extract(epoch FROM now() - min(created_at))::float8 AS age FROM flow_outbox`;

export async function waitingMessages(pool: pg.Pool): Promise<{ messages: number; ageSeconds: number }> {
  const { rows } = await pool.query<{ messages: number; age: number | null }>(WAITING);
  return { messages: rows[0]?.messages ?? 0, ageSeconds: Math.max(0, rows[0]?.age ?? 0) };
}
