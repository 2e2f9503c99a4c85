/** Connections of whoever watches from outside, past everything that is under test, while the servers come and go. */
import { Redis } from 'ioredis';
import pg from 'pg';

/** `options` are those of a PostgreSQL session, as in `-c lock_timeout=1s`. */
export function openPool(url: string, options = ''): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: 'test',
    max: 4,
    connectionTimeoutMillis: 5_000,
    // The rules compare whole tables, of which the planner knows nothing yet.
    options: `-c enable_nestloop=off ${options}`,
  });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

export function openRedisClient(url: string): Redis {
  const client = new Redis(url, { connectionName: 'test' });
  client.on('error', () => undefined);
  return client;
}
