/**
 * A connection keeps the mode in which it was opened: one from the time when its database or role was set to read-only, or
 * that a proxy led to a standby, rejects every write for as long as it lasts, long after new ones take them. What ends a
 * statement of its own is closed by the pool; a transaction that is rolled back gives its connection back as if it was well.
 */
import type { EventEmitter } from 'node:events';
import type pg from 'pg';
import { READ_ONLY } from './socket-codes.ts';

/** Connections of that pool that have rejected a write are not used again. */
export function discardReadOnly(pool: pg.Pool): void {
  const spoiled = new WeakSet<pg.PoolClient>();
  pool.on('connect', (client) => {
    // Its types do not say that it has one.
    const { connection } = client as unknown as { connection: EventEmitter };
    connection.on('errorMessage', ({ code }: { code?: string }) => {
      if (code === READ_ONLY) spoiled.add(client);
    });
  });
  // Before the pool looks whether it is of use still.
  pool.on('release', (_, client) => {
    if (spoiled.has(client)) client.end().catch(() => undefined);
  });
}
