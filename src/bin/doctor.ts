import { runDoctor } from '../doctor/report.ts';
import { errorMessage } from '../domain/texts/error-message.ts';

try {
  process.exit(await runDoctor(process.argv.slice(2), (text) => process.stdout.write(text)));
} catch (error) {
  process.stderr.write(`${errorMessage(error)}\n`);
  process.exit(64); // EX_USAGE of sysexits.h, or a fault of its own.
}
