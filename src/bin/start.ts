import { launch } from '../launch/launch.ts';
import { configOrExit } from '../launch/run-process.ts';

/** npm and `timeout` pass a signal on to a process that has already got it; only a later one is a person losing patience. */
const SAME_SIGNAL_MS = 1_000;

const config = configOrExit();
const ending = new AbortController();
const atOnce = new AbortController();
let firstAt = 0;
const onSignal = () => {
  if (!ending.signal.aborted) {
    firstAt = performance.now();
    ending.abort();
  } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
    atOnce.abort();
  }
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

try {
  await launch({
    config,
    watch: process.argv.includes('--watch'),
    ending: ending.signal,
    atOnce: atOnce.signal,
    say: (line) => process.stdout.write(`${line}\n`),
  });
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
