/** Counts of requests in PostgreSQL, where there is no Redis. They need not outlive a crash, so the table is not logged. */
import type pg from 'pg';
import type { RequestCounts } from '../../engine/accept/request-limits.ts';

const ADD = `
INSERT INTO request_count AS own (key, count, ends_at)
VALUES ($1, 1, clock_timestamp() + $2 * interval '1 millisecond')
ON CONFLICT (key) DO UPDATE SET
  count = CASE WHEN own.ends_at <= clock_timestamp() THEN 1 ELSE own.count + 1 END,
  ends_at = CASE WHEN own.ends_at <= clock_timestamp() THEN excluded.ends_at ELSE own.ends_at END
RETURNING count, extract(epoch FROM ends_at - clock_timestamp())::float8 * 1000 AS reset_ms`;

const FORGET = `
DELETE FROM request_count WHERE key IN (
  SELECT key FROM request_count WHERE ends_at < clock_timestamp() ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)`;

export function createRequestCounts(pool: pg.Pool, kind: string, windowMs: number): RequestCounts {
  return {
    async add(key) {
      const { rows } = await pool.query<{ count: number; reset_ms: number }>({
        name: 'request-count-add',
        text: ADD,
        values: [`${kind} ${key}`, windowMs],
      });
      const [row] = rows;
      if (row === undefined) throw new Error('the statement returned no row');
      return { count: row.count, resetMs: Math.max(1, row.reset_ms) };
    },
  };
}

/** What nobody counts any more. */
export async function forgetRequestCounts(pool: pg.Pool, atOnce: number): Promise<void> {
  await pool.query({ name: 'request-count-forget', text: FORGET, values: [atOnce] });
}
