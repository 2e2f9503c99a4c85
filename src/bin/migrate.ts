import { configOrExit, exitBecause } from '../launch/run-process.ts';
import { migrateQueue } from '../queue/migrate-queue.ts';
import { migrate } from '../store/migrate.ts';
import { UnsupportedServer } from '../store/server-version.ts';

const { databaseUrl, redisUrl } = configOrExit({ listens: false });
if (databaseUrl === undefined)
  exitBecause('The migrations need DATABASE_URL; `npm start` applies them to its own database by itself.');

try {
  for (const name of await migrate(databaseUrl)) process.stdout.write(`Applied the migration ${name}.\n`);
  if (redisUrl === undefined) await migrateQueue(databaseUrl);
  process.exit(0); // The schema engine leaves a timer of ten seconds behind.
} catch (error) {
  if (error instanceof UnsupportedServer) exitBecause(error.message);
  process.stderr.write(`The migration failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
