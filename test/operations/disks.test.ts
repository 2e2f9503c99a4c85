/** Disks that fill up, on real file systems that are small. */
import pg from 'pg';
import { until } from '../harness/until.ts';
import type { Installation } from '../support/operations/installation.ts';
import { operationsTest } from '../support/operations/operations-test.ts';

operationsTest(
  'the disk of Redis is full',
  { disks: { redis: 64 } },
  {
    async inject({ redis }: Installation) {
      if (redis?.disk === undefined) throw new Error('this Redis has no disk of its own');
      const { client, disk } = redis;
      const makeRoom = await disk.fill();
      // What it notices at its next write.
      await client.set('fills-the-disk', 'x'.repeat(100_000)).catch(() => undefined);
      return async () => {
        await makeRoom();
        await until(() => client.del('fills-the-disk').then(() => true), { what: 'Redis writes again' });
      };
    },
    named: ['queue_not_writable'],
    why: ['queue_not_writable'],
    repeatsWork: true,
  },
);

operationsTest(
  'the disk of PostgreSQL is full: it is named, and all goes on when there is room again and the server was started',
  { disks: { postgres: 320 }, settings: { max_wal_size: '64MB', min_wal_size: '32MB' } },
  {
    async inject(installation) {
      const { databaseUrl, db, postgres } = installation;
      if (postgres.disk === undefined) throw new Error('this PostgreSQL has no disk of its own');
      const makeRoom = await postgres.disk.fill();
      await writeUntilRefused(databaseUrl);
      return async () => {
        await makeRoom();
        // A server that cannot write its log ends itself, perhaps in this very moment; whoever looks after it starts it again.
        await until(
          async () => {
            await postgres.startAgainIfDown();
            await db.query('DROP TABLE IF EXISTS ballast');
            return true;
          },
          { what: 'PostgreSQL is up', everyMs: 250 },
        );
      };
    },
    named: ['statements_failing', 'database_unreachable'],
    // Which of them depends on whether the server has ended itself.
    why: ['no_progress', 'statements_failing', 'database_unreachable', 'unavailable'],
  },
);

/** What the server has set aside is used up too. */
async function writeUntilRefused(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'ballast' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('CREATE TABLE IF NOT EXISTS ballast (line text)');
    const line = 'x'.repeat(1_000);
    for (;;) await client.query('INSERT INTO ballast SELECT $1 FROM generate_series(1, 1000)', [line]);
  } catch {
    // No room is left, or the server has ended itself.
  } finally {
    await client.end().catch(() => undefined);
  }
}
