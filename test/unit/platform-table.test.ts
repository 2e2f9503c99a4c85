import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

/** What nobody has built yet. It only ever gets shorter: a row that is filled has to leave it. */
const EXPECTED_OPEN: readonly string[] = [];

const DOCUMENT = 'docs/platform.md';
const text = readFileSync(DOCUMENT, 'utf8');
const rows = text
  .split('\n')
  .filter((line) => line.startsWith('|') && !/^\| (?:request|---) \|/.test(line))
  // A bar inside a cell is written `\|`.
  .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
  .map(([, request = '', here = '', tests = '', ...rest]) => ({ request, here, tests, cells: rest.length + 3 }));
const isOpen = ({ here, tests }: (typeof rows)[number]) => here === '' || tests === '';

/** Each link with the names in quotes behind it, up to the next link. */
function linksIn(cell: string): Array<{ file: string; names: string[] }> {
  return [...cell.matchAll(/\[[^\]]+\]\(([^)]+)\)((?:(?!\[[^\]]+\]\().)*)/g)].map(([, file = '', behind = '']) => ({
    file,
    names: [...behind.matchAll(/“([^”]+)”|"([^"]+)"/g)].map(([, curly, straight]) => curly ?? straight ?? ''),
  }));
}

describe(DOCUMENT, () => {
  test('has the requests of the older platform, each once, in rows of three cells', () => {
    expect(rows.length).toBeGreaterThanOrEqual(42);
    expect(rows.filter(({ cells }) => cells !== 4)).toEqual([]);
    expect(new Set(rows.map(({ request }) => request)).size).toBe(rows.length);
  });

  test('has no open row but those that are known to be open', () => {
    expect(rows.filter(isOpen).map(({ request }) => request)).toEqual(EXPECTED_OPEN);
  });

  test.each(rows.filter((row) => !isOpen(row)))('$request names tests that exist', ({ tests }) => {
    const links = linksIn(tests);
    expect(links.length).toBeGreaterThan(0);
    for (const { file, names } of links) {
      const target = path.join(path.dirname(DOCUMENT), file);
      expect(existsSync(target), target).toBe(true);
      expect(target, 'a test').toMatch(/\.test\.ts$|^test\/faults\/scenarios\//);
      const content = readFileSync(target, 'utf8');
      expect(
        names.filter((name) => !content.includes(name)),
        target,
      ).toEqual([]);
    }
    // A file alone does not say which of its tests it is.
    expect(links.some(({ names }) => names.length > 0)).toBe(true);
  });

  test.each(rows.filter((row) => !isOpen(row)))('$request links to files that exist', ({ here }) => {
    for (const { file } of linksIn(here)) {
      const target = path.join(path.dirname(DOCUMENT), file);
      expect(existsSync(target), target).toBe(true);
    }
  });
});
