/**
 * Appends to a file and retains a few older ones: `name`, `name.1` (the youngest) and so on.
 *
 * Writes are synchronous: a line is in the file when the call returns, also the last one before a crash, and nothing piles up
 * in memory. Several processes may write to the same file; one that finds that another has moved it away opens the new one.
 */
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';

export function rotatingFile(file: string, options: { maxBytes: number; older: number }): Writable {
  mkdirSync(path.dirname(file), { recursive: true });
  let descriptor = openSync(file, 'a');
  let untilCheck = 0;

  function reopen(): void {
    closeSync(descriptor);
    descriptor = openSync(file, 'a');
  }
  /** Checking the file at every line would cost more than the line; once in a while is enough for its size and its identity. */
  function check(): void {
    const { size, ino } = fstatSync(descriptor);
    if (statSync(file, { throwIfNoEntry: false })?.ino !== ino) {
      reopen();
      check();
      return;
    }
    if (size >= options.maxBytes) {
      for (let number = options.older; number >= 1; number -= 1) {
        const from = number === 1 ? file : `${file}.${number - 1}`;
        if (statSync(from, { throwIfNoEntry: false }) !== undefined) renameSync(from, `${file}.${number}`);
      }
      reopen();
    }
    untilCheck = Math.max(1, Math.min(options.maxBytes - size, options.maxBytes / 100));
  }

  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        untilCheck -= chunk.length;
        if (untilCheck <= 0) check();
        writeSync(descriptor, chunk);
      } catch {
        // A full disk or a folder that is gone must not end the process; the console has the line.
      }
      done();
    },
    final(done) {
      closeSync(descriptor);
      done();
    },
  });
}
