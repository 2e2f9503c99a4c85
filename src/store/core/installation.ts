/** The id of this installation, which all of its processes share: made by whoever needs it first. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { persist } from './transient.ts';

const MAKE = 'INSERT INTO installation (id) VALUES ($1) ON CONFLICT DO NOTHING';

/** Read once by each process. */
export function createInstallation(pool: pg.Pool): () => Promise<string> {
  let known: string | undefined;
  return async () => {
    // Whoever loses against another process sees the row of that one only in a later statement.
    while (known === undefined) {
      await persist(() => pool.query(MAKE, [randomUUID()]));
      const { rows } = await persist(() => pool.query<{ id: string }>('SELECT id FROM installation'));
      known = rows[0]?.id;
    }
    return known;
  };
}
