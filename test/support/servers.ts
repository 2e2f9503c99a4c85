/** What a test with servers asks for: a database of its own, a queue prefix of its own. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { until } from '../harness/until.ts';

export interface TestDatabase {
  url: string;
  name: string;
  drop(): Promise<void>;
}

/** A copy of the migrated template: our tables and those of the queue, all empty. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asAdmin(async (ask) => {
    const copied = (await ask(CAN_COPY_FILES)).length > 0 ? 'STRATEGY FILE_COPY' : '';
    await ask(`CREATE DATABASE ${name} TEMPLATE template_migrated ${copied}`);
  });
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  return {
    url: url.href,
    name,
    drop: () =>
      asAdmin(async (ask) => {
        // A pool says that it has ended before the server has heard of it, and a connection that is broken then has nobody to
        // tell. What a test leaves open on purpose is broken.
        await until(async () => (await ask(CONNECTED, [name])).length === 0, { timeoutMs: 2_000 }).catch(
          () => undefined,
        );
        await ask(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      }),
  };
}

/** The Redis that all tests share. */
export function testRedisUrl(): string {
  return inject('redisUrl');
}

/** Keeps the queues of a test apart; the tag in braces is what a Redis Cluster shards by. */
export function testQueuePrefix(): string {
  return `{test-${randomBytes(6).toString('hex')}}`;
}

/** A sixth of the work of writing every block into the log. Before 15 there is no other way, and no word for it. */
const CAN_COPY_FILES = `SELECT WHERE current_setting('server_version_num')::int >= 150000`;

const CONNECTED = `SELECT FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'`;

type Ask = (statement: string, values?: string[]) => Promise<object[]>;

async function asAdmin(work: (ask: Ask) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') });
  await client.connect();
  try {
    await work(async (statement, values = []) => (await client.query<object>(statement, values)).rows);
  } finally {
    await client.end();
  }
}
