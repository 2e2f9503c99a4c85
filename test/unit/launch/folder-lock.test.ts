import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockFolder } from '../../../src/launch/folder-lock.ts';
import { birthOf } from '../../../src/launch/processes.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes the lock of another process. */
function hold(holder: object | string, number = 1): void {
  mkdirSync(path.join(folder, 'locks'), { recursive: true });
  writeFileSync(
    path.join(folder, 'locks', String(number)),
    typeof holder === 'string' ? holder : JSON.stringify(holder),
  );
}

test('a second start on the same folder is told which process has it', async () => {
  const lock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toThrow(`is in use by another start, process ${process.pid}`);
  await lock.release();
  await (await lockFolder(folder)).release();
});

test('a lock whose process is gone does not hinder', async () => {
  const child = spawn(process.execPath, ['-e', '']);
  await new Promise((resolve) => child.once('exit', resolve));
  hold({ pid: child.pid });
  await (await lockFolder(folder)).release();
});

test('a lock whose number now belongs to another process does not hinder', async () => {
  hold({ pid: process.pid, born: 'long ago' });
  await (await lockFolder(folder)).release();
});

test('a lock of a living process holds', async () => {
  hold({ pid: process.pid, born: await birthOf(process.pid) });
  await expect(lockFolder(folder)).rejects.toThrow('is in use');
});

test('a lock that was cut short does not hinder', async () => {
  hold('{"pid":');
  await (await lockFolder(folder)).release();
});

test('taking and releasing it again and again leaves a handful of files', async () => {
  for (let start = 0; start < 30; start += 1) await (await lockFolder(folder)).release();
  expect(readdirSync(path.join(folder, 'locks')).length).toBeLessThan(12);
});

test('a start that worked from an old listing does not get a folder that somebody further holds', async () => {
  hold({ pid: process.pid, born: 'long ago' }, 3);
  hold({ pid: process.pid, born: await birthOf(process.pid) }, 20);
  await expect(lockFolder(folder)).rejects.toThrow('is in use');
});

test('of many starts that find a stale lock, one gets the folder', async () => {
  hold({ pid: process.pid, born: 'long ago' });
  const program = `
    import { lockFolder } from ${JSON.stringify(new URL('../../../src/launch/folder-lock.ts', import.meta.url).href)};
    process.stdin.once('data', async () => {
      try { await lockFolder(${JSON.stringify(folder)}); console.log('got it'); } catch { console.log('refused'); }
      process.stdin.on('end', () => process.exit(0)).resume();
    });
    console.log('ready');
  `;
  const starts = Array.from({ length: 6 }, () => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const says = (word: RegExp) =>
      new Promise<string>((resolve) => {
        const look = () => {
          const found = word.exec(output)?.[0];
          if (found !== undefined) resolve(found);
        };
        child.stdout.on('data', look);
        look();
      });
    return { child, says };
  });
  await Promise.all(starts.map(({ says }) => says(/ready/)));
  const answers = starts.map(({ says }) => says(/got it|refused/));
  for (const { child } of starts) child.stdin.write('go');
  expect((await Promise.all(answers)).filter((answer) => answer === 'got it')).toHaveLength(1);
  for (const { child } of starts) child.stdin.end();
});
