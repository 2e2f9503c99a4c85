/** Removes what no run takes with it: requests that never became a run, and messages that could not be taken in. */
import type pg from 'pg';

const ORPHANS = `
DELETE FROM flow_run WHERE ctid = ANY (ARRAY(
  SELECT h.ctid FROM flow_run h
  WHERE h.received_at < now() - make_interval(days => $1::int)
    AND NOT EXISTS (SELECT FROM run r WHERE r.id = h.run_id AND r.tenant_id = h.tenant_id)
  LIMIT $2 FOR UPDATE SKIP LOCKED))`;

const DEAD_LETTERS = `
DELETE FROM flow_dead_letter WHERE ctid = ANY (ARRAY(
  SELECT d.ctid FROM flow_dead_letter d
  WHERE d.failed_at < now() - make_interval(days => $1::int)
  LIMIT $2 FOR UPDATE SKIP LOCKED))`;

/** At most `limit` of each; resolves to how many. */
export async function removeOldMessages(pool: pg.Pool, olderThanDays: number, limit: number): Promise<number> {
  const orphans = await pool.query(ORPHANS, [olderThanDays, limit]);
  const letters = await pool.query(DEAD_LETTERS, [olderThanDays, limit]);
  return (orphans.rowCount ?? 0) + (letters.rowCount ?? 0);
}
