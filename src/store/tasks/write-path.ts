/**
 * Whether tasks can be accepted, claimed and committed on this database, probed with the very statements that do it: they run
 * over nothing, so they write nothing, and yet the server checks every name, right and mode as it does for real ones.
 */
import type pg from 'pg';
import { acceptRuns } from '../accept/accept-runs.ts';
import { READ_VERSION, requireSupported, type VersionRow } from '../core/server-version.ts';
import { faultsOfWorkers } from '../health/engine-health.ts';
import { commitOutcomes } from './commit.ts';
import { lookUp } from './lookup.ts';
import { CLAIM, markTasksRunning } from './task-store.ts';

/** A lock that somebody holds is reported as such; the probe does not wait for it. */
const BOUNDS = `SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '3s'`;

/** Rejects with the server's own error. `pool`: that of the process that probes, so with its rights. */
export async function probeWritePath(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  let taken = false;
  try {
    requireSupported((await client.query<VersionRow>(READ_VERSION)).rows[0]);
    await client.query(`BEGIN; ${BOUNDS}`);
    await acceptRuns(client, []);
    await lookUp(client, []);
    await client.query({ name: 'claim-task', text: CLAIM, values: ['', 1, '', '', ''] });
    await markTasksRunning(client, []);
    await commitOutcomes(client, []);
    await client.query('ROLLBACK');
    taken = true;
  } finally {
    // With its transaction, and with the mode that it was opened in: a new one may be writable.
    client.release(!taken);
  }
}

/**
 * For an API: as `probeWritePath`, and then whether any worker can. They may have another role, whose rights only they know;
 * what none of those that are alive can commit would be accepted for nothing.
 */
export async function probeAll(pool: pg.Pool): Promise<void> {
  await probeWritePath(pool);
  const workers = await faultsOfWorkers(pool);
  const found = workers.map(({ faults }) => faults.find(({ kind }) => kind === 'write_path'));
  const [first] = found;
  if (first === undefined || found.includes(undefined)) return;
  throw Object.assign(new Error(`the workers say: ${first.message}`), { code: first.class });
}
