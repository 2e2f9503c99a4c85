/** What PostgreSQL says of the runs: the truth that the drill is judged by. */
import type pg from 'pg';

/** When the first task was committed after that time; times are milliseconds since 1970 of this machine. */
export async function firstCommitAfter(db: pg.Pool, since: number): Promise<number | undefined> {
  const { rows } = await db.query<{ at: Date | null }>(
    'SELECT min(finished_at) AS at FROM task WHERE finished_at > to_timestamp($1::float8 / 1000)',
    [since],
  );
  return rows[0]?.at?.getTime();
}

export async function openOf(db: pg.Pool, ids: Iterable<string>): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT w.id FROM unnest($1::text[]) AS w(id) LEFT JOIN run r ON r.id = w.id WHERE r.final IS NOT TRUE`,
    [[...ids]],
  );
  return rows.map(({ id }) => id);
}

/** When the last of them ended. */
export async function lastEndOf(db: pg.Pool, ids: readonly string[]): Promise<number | undefined> {
  const { rows } = await db.query<{ at: Date | null }>(
    'SELECT max(finished_at) AS at FROM run WHERE id = ANY($1::text[])',
    [ids],
  );
  return rows[0]?.at?.getTime();
}

export async function completedOf(db: pg.Pool, ids: Iterable<string>): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM run WHERE id = ANY($1::text[]) AND status = 'completed'`,
    [[...ids]],
  );
  return rows[0]?.count ?? 0;
}

export async function tasksCommitted(db: pg.Pool): Promise<number> {
  const { rows } = await db.query<{ count: number }>('SELECT count(*)::int AS count FROM task WHERE final');
  return rows[0]?.count ?? 0;
}

/** Tasks and runs whose end was recorded more than once, and keys that have begun more than one run. */
export async function committedTwice(db: pg.Pool): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM (
       SELECT run_id FROM event
       WHERE kind IN ('task.completed', 'task.failed', 'task.skipped', 'task.cancelled', 'task.upstream_failed',
                      'run.completed', 'run.failed', 'run.cancelled')
       GROUP BY run_id, action_id, epoch HAVING count(*) > 1
       UNION ALL
       SELECT run_id FROM attempt WHERE status = 'completed' GROUP BY run_id, action_id, epoch HAVING count(*) > 1
       UNION ALL
       SELECT min(id) FROM run WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key HAVING count(*) > 1) AS twice`,
  );
  return rows[0]?.count ?? 0;
}
