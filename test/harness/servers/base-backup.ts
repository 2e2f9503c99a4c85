/** A base backup of a PostgreSQL that goes on working, as `pg_basebackup` makes it: the packaged server comes without that program. */
import { spawnSync } from 'node:child_process';
import { chown, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { freePort } from '../../../src/launch/postgres-server.ts';
import { makePostgresFolder } from './store-servers.ts';

/** `folder` is that of the server, `url` of its superuser. Resolves to a folder that `openPostgres` starts from. */
export async function backUp(folder: string, url: string): Promise<string> {
  const memory = JSON.parse(await readFile(path.join(folder, 'postgres.json'), 'utf8')) as { directory: string };
  const restored = await makePostgresFolder();
  const directory = path.join(restored, 'postgres');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('backup', true)`);
    // Files may come and go while they are copied; what the log says of them is replayed.
    copy(memory.directory, directory);
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    const label = path.join(directory, 'backup_label');
    await writeFile(label, rows[0]?.labelfile ?? '');
    const { uid, gid } = await stat(directory);
    await chown(label, uid, gid);
    // The log up to the end of the backup.
    await client.query('SELECT pg_switch_wal()');
    copy(`${memory.directory}/pg_wal/.`, path.join(directory, 'pg_wal'));
  } finally {
    await client.end();
  }
  for (const file of ['postmaster.pid', 'postmaster.opts']) await rm(path.join(directory, file), { force: true });
  await writeFile(
    path.join(restored, 'postgres.json'),
    JSON.stringify({ ...memory, directory, port: await freePort() }),
  );
  return restored;
}

/** With owners and modes, which the server insists on. */
function copy(from: string, to: string): void {
  const { stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  const faults = stderr.split('\n').filter((line) => line !== '' && !/No such file|vanished/.test(line));
  if (faults.length > 0) throw new Error(`the copy of ${from} failed: ${faults.join('\n')}`);
}
