/** docs/faults.md names a test for every fault; each of them exists, and every scenario is named. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { FAILPOINTS } from '../../src/schemas/failpoints.ts';

const TABLE = readFileSync('docs/faults.md', 'utf8');
const SCENARIOS = 'test/faults/scenarios';
const OPERATIONS = 'test/operations';

interface Named {
  fault: string;
  file: string;
  title: string;
}

/** `| fault | what must hold | [file](…): “title”, “title”<br>[file](…): “title” |` */
const ROWS = TABLE.split('\n').filter((line) => /^\| (?!---|fault )/.test(line));
const named: Named[] = ROWS.flatMap((line) => {
  const [fault = '', , tests = ''] = line.slice(2, -2).split(' | ');
  return tests.split('<br>').flatMap((part) => {
    const file = /\]\(\.\.\/(test\/[\w./-]+)\)/.exec(part)?.[1] ?? '';
    return [...part.matchAll(/“([^”]+)”/g)].map(([, title]) => ({ fault, file, title: title ?? '' }));
  });
});

test('every fault names tests that exist', () => {
  expect(named.length).toBeGreaterThan(40);
  const missing = named.filter(({ file, title }) => !existsSync(file) || !readFileSync(file, 'utf8').includes(title));
  expect(missing).toEqual([]);
});

test('every row of the table names a test, or says in so many words why there is none', () => {
  expect(ROWS.length).toBeGreaterThan(25);
  expect(ROWS.filter((line) => !/“[^”]+”/.test(line) && !line.includes('No test:'))).toEqual([]);
});

test('every scenario is named by a fault', () => {
  for (const name of readdirSync(SCENARIOS)) {
    const file = path.join(SCENARIOS, name);
    // The title is the first argument of the call that defines a test, on its line or on the next one.
    const text = readFileSync(file, 'utf8');
    const titles = [
      ...text.matchAll(/^ *(?:\](?: as const)?\)|(?:test|own|ownRedis)(?:\.for\(\[.*\]\))?)\(\s*'([^']+)'/gm),
    ];
    expect(titles.length, file).toBe([...text.matchAll(/^ *(?:test|own|ownRedis)(?:\.for[(<]|\()/gm)].length);
    const unnamed = titles.filter(
      ([, title = '']) => !named.some((row) => row.file === file && title.includes(row.title)),
    );
    expect(
      unnamed.map(([, title]) => title),
      file,
    ).toEqual([]);
  }
});

test('every fault of operation is named', () => {
  for (const name of readdirSync(OPERATIONS)) {
    const file = path.join(OPERATIONS, name);
    const titles = [...readFileSync(file, 'utf8').matchAll(/operationsTest\(\s*['`]([^'`]+)['`]/g)];
    expect(titles.length, file).toBeGreaterThan(0);
    for (const [, title = ''] of titles) {
      expect(named.filter((row) => row.file === file && title.includes(row.title)).length, title).toBeGreaterThan(0);
    }
  }
});

test('the document names every failpoint, and no other', () => {
  const written = [...TABLE.matchAll(/^- `(\w+\.\w+)`/gm)].map(([, name]) => name);
  expect(written.sort()).toEqual([...FAILPOINTS].sort());
});
