/** docs/platform.md against the tests that it names. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

interface Row {
  section: string;
  request: string;
  here: string;
  tests: string;
}

let section = '';
const rows: Row[] = [];
for (const line of readFileSync('docs/platform.md', 'utf8').split('\n')) {
  if (line.startsWith('## ')) section = line.slice(3);
  const [, request = '', here = '', tests = ''] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
  if (line.startsWith('| ') && request !== 'request' && !request.startsWith('---'))
    rows.push({ section, request, here, tests });
}

/** Each link with the names in quotes that stand between it and the next one. */
function named(cell: string): Array<{ file: string; names: string[] }> {
  return cell
    .split(/(?=\[[^\]]+\]\(\.\.\/)/)
    .filter((part) => part.startsWith('['))
    .map((part) => {
      const [, file = '', rest = ''] = /\]\(\.\.\/([^)]+)\)(.*)$/.exec(part) ?? [];
      const names = [...rest.matchAll(/“([^”]+)”|"([^"]+)"/g)].map(([, curly, straight]) => curly ?? straight ?? '');
      return { file, names };
    });
}

describe('docs/platform.md', () => {
  test('says of every request about workflows what it does here, and which tests send it', () => {
    const workflows = rows.filter((row) => row.section === 'Workflows');
    expect(workflows.length).toBeGreaterThan(10);
    for (const { request, here, tests } of workflows) {
      expect(here, request).not.toBe('');
      expect(named(tests).flatMap(({ names }) => names).length, request).toBeGreaterThan(0);
    }
  });

  test.each(rows.filter(({ tests }) => tests !== ''))('$request names tests that exist', ({ tests }) => {
    const links = named(tests);
    expect(links.length).toBeGreaterThan(0);
    for (const { file, names } of links) {
      expect(existsSync(file), file).toBe(true);
      const text = readFileSync(file, 'utf8').replaceAll("\\'", "'");
      for (const name of names) expect(text, file).toContain(name);
    }
  });
});
