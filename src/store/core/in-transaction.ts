import type pg from 'pg';

/** Rolls back what answers false. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query(result === false ? 'ROLLBACK' : 'COMMIT');
    client.release();
    return result;
  } catch (error) {
    // The connection may be the very thing that broke: it is closed, which also rolls back.
    client.release(true);
    throw error;
  }
}
