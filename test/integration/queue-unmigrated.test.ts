/** Processes that meet a database in which the tables of the queue are missing. */
import { expect } from 'vitest';
import { migrateQueue } from '../../src/queue/migrate-queue.ts';
import { startProcess } from '../harness/processes/process.ts';
import { processesTest } from '../support/processes.ts';

const test = processesTest('postgres');

test('a worker that finds no tables of the queue ends and says why, instead of turning in circles', async ({
  db,
  processes,
}) => {
  await db.query('DROP SCHEMA bullmq CASCADE');
  await expect(
    startProcess({ kind: 'worker', cwd: processes.folder, settings: processes.environment }),
  ).rejects.toThrow(/schema \\?"bullmq\\?" is not initialized/);
  await migrateQueue(processes.databaseUrl);
});
