/** A folder like prisma/migrations, with some of the real ones and others that a test has thought up. */
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { MIGRATIONS_FOLDER } from '../../src/store/migrations/migrate.ts';

/** `before`: only those whose name comes before it. The folder is gone when the test is. */
export async function migrationsFolder(options: { before?: string; extra?: Record<string, string> }): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'test-migrations-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const name of await readdir(MIGRATIONS_FOLDER)) {
    if (options.before !== undefined && name >= options.before) continue;
    await cp(path.join(MIGRATIONS_FOLDER, name), path.join(folder, name), { recursive: true });
  }
  for (const [name, sql] of Object.entries(options.extra ?? {})) {
    await mkdir(path.join(folder, name));
    await writeFile(path.join(folder, name, 'migration.sql'), sql);
  }
  return folder;
}
