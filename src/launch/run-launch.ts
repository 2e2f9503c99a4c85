/** Everything in one place until it is to end: what `npm start` and the default command of the image run. */
import { errorMessage } from '../domain/texts/error-message.ts';
import { endRequests } from './end-requests.ts';
import { CannotStart, launch } from './launch.ts';
import { configOrExit } from './run-process.ts';
import { EXIT_CANNOT_START } from './supervisor.ts';

export async function runLaunch(): Promise<never> {
  const config = configOrExit();
  const { ending, atOnce } = endRequests({
    signals: ['SIGINT', 'SIGTERM', 'SIGHUP'],
    startedByNpm: config.startedByNpm,
  });
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
}
