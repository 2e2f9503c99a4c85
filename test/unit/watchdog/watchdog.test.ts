import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';

const WATCHDOG = new URL('../../../dist/src/watchdog/watchdog.js', import.meta.url);
/** Starts the watchdog, lets its thread come up, and then never gives the event loop back. */
const BLOCKED = `
  const { startWatchdog } = await import('${WATCHDOG.href}');
  startWatchdog({ blockedMs: 1000 });
  process.stdout.write('started');
  setTimeout(() => { for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000); }, 500);
`;

test.each(['what it says is read', 'nobody is left to read what it says'])(
  'a process whose event loop stands still ends itself: %s',
  async (reader) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', BLOCKED], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    if (reader.startsWith('nobody')) child.stderr.destroy();
    else child.stderr.resume();
    expect(await ended).toEqual([null, 'SIGKILL']);
  },
);
