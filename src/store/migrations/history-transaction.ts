/** A change of partitions: by one process at a time, and only if the locks are to be had at once. */
import type pg from 'pg';

/** Any constant will do, as long as it is ours alone in the database. */
const HISTORY_LOCK = 7_202_613;
/** A wait for a lock blocks everybody who comes after. There is a next pass. */
const LOCK_TIMEOUT_MS = 200;
const LOCK_NOT_AVAILABLE = '55P03';

/** False: another process is at it, the table is in use, or PostgreSQL answers one of `rejections`. Then nothing has changed. */
export async function inHistoryTransaction(
  pool: pg.Pool,
  rejections: ReadonlySet<string>,
  work: (client: pg.PoolClient) => Promise<boolean>,
): Promise<boolean> {
  const client = await pool.connect();
  try {
    await client.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [
      HISTORY_LOCK,
    ]);
    const done = rows[0]?.mine === true && (await work(client));
    await client.query(done ? 'COMMIT' : 'ROLLBACK');
    client.release();
    return done;
  } catch (error) {
    // Waited for, or the next change would find the lock still taken. A connection that cannot do that is closed.
    const broken = await client.query('ROLLBACK').then(
      () => false,
      () => true,
    );
    client.release(broken);
    const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
    if (code === LOCK_NOT_AVAILABLE || rejections.has(code)) return false;
    throw error;
  }
}
