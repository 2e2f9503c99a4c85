/** Tasks that failed for good: what they are, and how many there are. */
import type pg from 'pg';

/** Of the row `t` of a task, as the condition of the index `task_dead_letters` says it. */
export const IS_DEAD = `t.status = 'failed' AND t.final AND NOT t.tolerated AND t.discarded_at IS NULL`;

/** Of all tenants, for the metric. */
export async function countDeadLetters(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ total: number }>(`SELECT count(*)::int AS total FROM task t WHERE ${IS_DEAD}`);
  return rows[0]?.total ?? 0;
}
