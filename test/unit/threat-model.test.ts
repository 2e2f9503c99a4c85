/** SECURITY.md against the code: every threat names a test that is there, and no edge leaves a kind of threat out. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const DOCUMENT = 'SECURITY.md';
const text = readFileSync(DOCUMENT, 'utf8');
const KINDS = ['S', 'T', 'R', 'I', 'D', 'E'];
const QUESTIONS = 21;

function sectionOf(heading: string): string {
  const [, behind] = text.split(`\n## ${heading}\n`);
  expect(behind, heading).toBeDefined();
  return (behind ?? '').split('\n## ', 1)[0] ?? '';
}

/** A bar inside a cell is written `\|`. */
function rowsIn(section: string): string[][] {
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:---|\|)/.test(line))
    .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
    .map((cells) => cells.slice(1, -1));
}

const edges = sectionOf('Threat model')
  .split('\n### ')
  .slice(1)
  .map((edge) => ({ edge: edge.split('\n', 1)[0] ?? '', rows: rowsIn(edge) }));
const threats = edges.flatMap(({ edge, rows }) => rows.map((cells) => ({ edge, cells, kind: cells[0] ?? '' })));
const questions = rowsIn(sectionOf('What a reviewer asks'));

/** Each link to a test with the names in quotes behind it, up to the next link. */
function testsIn(cell: string): Array<{ file: string; names: string[] }> {
  return [...cell.matchAll(/\[[^\]]+\]\(([^)]+)\)((?:(?!\[[^\]]+\]\().)*)/g)].map(([, file = '', behind = '']) => ({
    file,
    names: [...behind.matchAll(/“([^”]+)”/g)].map(([, name = '']) => name),
  }));
}

function expectTests(cell: string): void {
  const tests = testsIn(cell);
  expect(tests.length).toBeGreaterThan(0);
  for (const { file, names } of tests) {
    expect(existsSync(file), file).toBe(true);
    expect(file).toMatch(/^test\/.*\.test\.ts$/);
    // A file alone does not say which of its tests it is.
    expect(names.length, file).toBeGreaterThan(0);
    const content = readFileSync(file, 'utf8');
    expect(
      names.filter((name) => !content.includes(name)),
      file,
    ).toEqual([]);
  }
}

describe('the threat model', () => {
  test('has the edges of the picture, each once', () => {
    expect(edges.map(({ edge }) => edge)).toEqual([
      ...['Client → API', 'Browser → pages', 'API and workers → PostgreSQL', 'API and workers → queue'],
      ...['Worker → services', 'Worker → isolated child', 'Peers', 'Webhooks in and out', 'External workers'],
      ...['Operator → host and command line', 'Supply chain'],
    ]);
  });

  test.each(edges)('$edge has all six letters', ({ rows }) => {
    expect(rows.map(([kind]) => kind)).toEqual(KINDS);
  });

  test.each(threats)(
    '$edge, $kind: says what is done and names tests that exist, or why there is no such threat',
    ({ cells }) => {
      expect(cells).toHaveLength(4);
      const [, threat = '', done = '', tests = ''] = cells;
      if (/^not applicable because \S/.test(threat)) return expect([done, tests]).toEqual(['', '']);
      expect(threat).not.toBe('');
      expect(done).not.toBe('');
      return expectTests(tests);
    },
  );
});

describe('what a reviewer asks', () => {
  test('is all there', () => {
    expect(questions.map(([number]) => number)).toEqual(Array.from({ length: QUESTIONS }, (_, n) => String(n + 1)));
  });

  test.each(questions)('%s: %s', (_number, question = '', answer = '', tests = '', ...rest) => {
    expect(rest).toEqual([]);
    expect(question).toMatch(/\?$/);
    expect(answer).not.toBe('');
    expectTests(tests);
  });
});

test('every link of the page leads to a file, and within one to a heading', () => {
  for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    const [file = '', heading] = target.split('#');
    const name = file === '' ? DOCUMENT : file;
    expect(existsSync(name), target).toBe(true);
    if (heading === undefined) continue;
    const headings = [...readFileSync(name, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, words = '']) => slugOf(words));
    expect(headings, target).toContain(heading);
  }
});

test('nothing evaluates JavaScript', () => {
  const sources = ['src', 'workers'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.startsWith(path.join('store', 'generated')))
      .map((name) => path.join(folder, name)),
  );
  expect(sources.length).toBeGreaterThan(300);
  const evaluates = /\beval\s*\(|\bnew Function\s*\(|['"](?:node:)?vm['"]|insecureHTTPParser/;
  expect(sources.filter((file) => evaluates.test(readFileSync(file, 'utf8')))).toEqual([]);
});

/** As pages of a repository name their headings. */
function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} -]/gu, '')
    .replaceAll(' ', '-');
}
