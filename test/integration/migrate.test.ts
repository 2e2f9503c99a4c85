import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrateQueue } from '../../src/queue/migrate-queue.ts';
import { migrate, schemaDrift } from '../../src/store/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let database: TestDatabase;
let client: pg.Client;

beforeEach(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterEach(async () => {
  await client.end();
  await database.drop();
});

async function empty(): Promise<void> {
  await client.query('DROP SCHEMA public CASCADE; DROP SCHEMA bullmq CASCADE; CREATE SCHEMA public');
}

test('the migrations lead exactly to schema.prisma', async () => {
  expect(await schemaDrift(database.url)).toBe('');
});

test('a database that differs from schema.prisma is noticed, down to the condition of an index', async () => {
  await client.query('ALTER TABLE run DROP COLUMN cancel_reason');
  expect(await schemaDrift(database.url)).toContain('cancel_reason');
  await client.query('ALTER TABLE run ADD COLUMN cancel_reason text');
  expect(await schemaDrift(database.url)).toBe('');
  await client.query('DROP INDEX run_cancelling; CREATE INDEX run_cancelling ON run (status)');
  expect(await schemaDrift(database.url)).toContain('run_cancelling');
});

test('a second run of the migrations changes nothing', async () => {
  expect(await migrate(database.url)).toEqual([]);
});

test('several processes may migrate an empty database at once', async () => {
  await empty();
  const applied = await Promise.all([1, 2, 3].map(() => migrate(database.url)));
  await Promise.all([1, 2, 3].map(() => migrateQueue(database.url)));
  expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  expect(await schemaDrift(database.url)).toBe('');
  const { rows } = await client.query("SELECT count(*)::int AS n FROM pg_tables WHERE schemaname = 'bullmq'");
  expect(rows[0].n).toBeGreaterThan(0);
});
