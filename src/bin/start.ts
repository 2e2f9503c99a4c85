import { errorMessage } from '../domain/texts/error-message.ts';
import { endRequests } from '../launch/end-requests.ts';
import { CannotStart, launch } from '../launch/launch.ts';
import { configOrExit } from '../launch/run-process.ts';
import { EXIT_CANNOT_START } from '../launch/supervisor.ts';

const config = configOrExit();
const { ending, atOnce } = endRequests({ signals: ['SIGINT', 'SIGTERM', 'SIGHUP'], startedByNpm: config.startedByNpm });

try {
  await launch({
    config,
    watch: process.argv.includes('--watch'),
    ending,
    atOnce,
    say: (line) => process.stdout.write(`${line}\n`),
  });
  process.exit(0);
} catch (error) {
  if (error instanceof CannotStart) process.exit(EXIT_CANNOT_START);
  process.stderr.write(`${errorMessage(error)}\n`);
  process.exit(1);
}
