/** docs/semantics.md against the examples and the tests that it names. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EXAMPLES } from '../../examples/semantics/all.ts';

const rows = readFileSync('docs/semantics.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| **'))
  .map((line) => line.split('|').map((cell) => cell.trim()));

describe('docs/semantics.md', () => {
  test('has a row for every example, in their order', () => {
    const named = rows.flatMap((cells) => [...(cells[3] ?? '').matchAll(/`npm run example -- ([\w-]+)`/g)]);
    expect(named.map(([, name]) => name)).toEqual(EXAMPLES.map(({ name }) => name));
  });

  test.each(rows)('%s%s names an example and tests that exist', (...cells) => {
    const [, , , example = '', tests = ''] = cells;
    expect(example).not.toBe('');
    const links = [...tests.matchAll(/\[[^\]]+\]\(\.\.\/([^)]+)\)(?:: “([^”]+)”)?/g)];
    expect(links.length).toBeGreaterThan(0);
    for (const [, file = '', name] of links) {
      expect(existsSync(file), file).toBe(true);
      if (name !== undefined) expect(readFileSync(file, 'utf8')).toContain(name);
    }
  });
});
