/** What a test with servers asks for: a database of its own, a queue prefix of its own. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

export interface TestDatabase {
  url: string;
  name: string;
  drop(): Promise<void>;
}

/** A copy of the migrated template: our tables and those of the queue, all empty. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asAdmin(`CREATE DATABASE ${name} TEMPLATE template_migrated`);
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  return { url: url.href, name, drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

/** The Redis that all tests share. */
export function testRedisUrl(): string {
  return inject('redisUrl');
}

/** Keeps the queues of a test apart; the tag in braces is what a Redis Cluster shards by. */
export function testQueuePrefix(): string {
  return `{test-${randomBytes(6).toString('hex')}}`;
}

async function asAdmin(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
