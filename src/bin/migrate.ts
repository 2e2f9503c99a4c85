import { errorMessage } from '../domain/texts/error-message.ts';
import { configOrExit, exitBecause } from '../launch/run-process.ts';
import { migrateQueue } from '../queue/migrate-queue.ts';
import { UnsupportedServer } from '../store/core/server-version.ts';
import { migrate } from '../store/migrations/migrate.ts';

const { databaseUrl, redis } = configOrExit({ listens: false });
if (databaseUrl === undefined)
  exitBecause('The migrations need DATABASE_URL; `npm start` applies them to its own database by itself.');

try {
  for (const name of await migrate(databaseUrl)) process.stdout.write(`Applied the migration ${name}.\n`);
  if (redis === undefined) await migrateQueue(databaseUrl);
  process.exit(0); // Idle connections of the queue would delay the end.
} catch (error) {
  if (error instanceof UnsupportedServer) exitBecause(error.message);
  process.stderr.write(`The migration failed: ${errorMessage(error)}\n`);
  process.exit(1);
}
