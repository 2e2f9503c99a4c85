/** What a failed test leaves for whoever reads its report: on the error output, and in the file that FAILURE_LOG names. */
import { appendFileSync } from 'node:fs';

export function reportFailure({ task }: { task: { name: string } }, text: string): void {
  process.stderr.write(`${text}\n`);
  const file = process.env['FAILURE_LOG'];
  if (file !== undefined) appendFileSync(file, `== ${task.name}\n${text}\n`);
}
