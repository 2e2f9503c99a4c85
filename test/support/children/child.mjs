// A child for the supervisor's tests. BEHAVIOUR says what it does; it appends a line to LOG at each step.
import { appendFileSync } from 'node:fs';

const note = (line) => appendFileSync(process.env.LOG, `${line} ${process.pid}\n`);
note('started');
const behaviour = process.env.BEHAVIOUR;

if (behaviour === 'crash') process.exit(1);
if (behaviour === 'cannot-start') process.exit(78);

setInterval(() => undefined, 1_000);
process.on('SIGTERM', () => {
  note('term');
  if (behaviour === 'deaf') return;
  setTimeout(() => {
    note('drained');
    process.exit(0);
  }, 50);
});
process.on('disconnect', () => {
  note('orphaned');
  process.exit(0);
});
process.send({ ready: true, port: 4711 });
