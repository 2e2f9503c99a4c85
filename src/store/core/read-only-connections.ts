/**
 * A connection keeps the mode in which it was opened: one from the time when its database or role was set to read-only, or
 * that a proxy led to a standby, rejects every write for as long as it lasts, long after new ones take them. What ends a
 * statement of its own is closed by the pool; a transaction that is rolled back gives its connection back as if it was well.
 */
import type { EventEmitter } from 'node:events';
import type pg from 'pg';
import { READ_ONLY } from './socket-codes.ts';

export interface Discarding {
  /** Connections that are open now are not used again: those at rest are closed at once, the others when they are released. */
  renew(): void;
}

// The types do not say that a client has the one, and a pool the other.
const connectionOf = (client: pg.PoolClient) => (client as unknown as { connection: EventEmitter }).connection;
const remove = (pool: pg.Pool, client: pg.PoolClient) =>
  (pool as unknown as { _remove(client: pg.PoolClient): void })._remove(client);

/** Connections of that pool that have rejected a write are not used again. */
export function discardReadOnly(pool: pg.Pool): Discarding {
  const discarded = new WeakSet<pg.PoolClient>();
  const open = new Map<pg.PoolClient, 'in use' | 'at rest'>();
  pool.on('connect', (client) => {
    open.set(client, 'in use');
    connectionOf(client).on('errorMessage', ({ code }: { code?: string }) => {
      if (code === READ_ONLY) discarded.add(client);
    });
  });
  pool.on('acquire', (client) => open.set(client, 'in use'));
  // Before the pool checks whether it is of use still.
  pool.on('release', (_, client) => {
    if (discarded.has(client)) client.end().catch(() => undefined);
    else open.set(client, 'at rest');
  });
  pool.on('remove', (client) => open.delete(client));
  return {
    renew() {
      for (const [client, state] of open) {
        discarded.add(client);
        if (state === 'at rest') remove(pool, client);
      }
    },
  };
}
