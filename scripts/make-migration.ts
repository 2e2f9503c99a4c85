/**
 * `npm run migration:make -- name`: writes prisma/migrations/<timestamp>_<name>/migration.sql, the step from the present
 * migrations to prisma/schema.prisma. With `--restart` (npm run migration:init) all migrations are replaced by one, which is
 * for the time before the first release only.
 */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../src/launch/postgres-server.ts';
import { MIGRATIONS_FOLDER, migrate } from '../src/store/migrations/migrate.ts';
import { schemaDrift } from './schema-drift.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { restart: { type: 'boolean', default: false } },
});
const name = positionals[0];
if (name === undefined || !/^[a-z][a-z0-9_]*$/.test(name)) {
  console.error('Usage: npm run migration:make -- name_in_snake_case');
  process.exit(2);
}

if (values.restart) await rm(MIGRATIONS_FOLDER, { recursive: true, force: true });
await mkdir(MIGRATIONS_FOLDER, { recursive: true });
const folder = await mkdtemp(path.join(tmpdir(), 'orchestrator-migration-'));
await chmod(folder, 0o755); // The server may run as another user.
const server = await startPostgres({ folder, fast: true, say: console.log });
try {
  await migrate(server.url);
  const sql = await schemaDrift(server.url);
  if (sql === '') {
    console.log('The migrations already lead to prisma/schema.prisma.');
  } else {
    const stamp = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
    const target = path.join(MIGRATIONS_FOLDER, `${values.restart ? '0' : stamp}_${name}`);
    await mkdir(target, { recursive: true });
    await writeFile(path.join(target, 'migration.sql'), `${sql}\n`);
    await writeFile(path.join(MIGRATIONS_FOLDER, 'migration_lock.toml'), 'provider = "postgresql"\n');
    console.log(`${path.relative(process.cwd(), target)}/migration.sql`);
  }
} finally {
  await server.stop();
  await rm(server.directory, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}
process.exit(0); // The schema engine leaves a timer of ten seconds behind.
