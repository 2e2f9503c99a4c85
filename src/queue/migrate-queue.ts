import { runMigrations } from 'bullmq';
import pg from 'pg';

/** Makes BullMQ's own tables, in its schema, for the queue on PostgreSQL. Safe to call from several processes at once. */
export async function migrateQueue(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'migrate' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await runMigrations(client);
  } finally {
    await client.end();
  }
}
