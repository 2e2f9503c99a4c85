/** What deleting a feature takes: who names each, apart from the one list. The compiler asks for nothing else. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { LIST, NAMED_BY, roomOf } from '../../scripts/feature-deletions.ts';
import { FEATURES } from '../../src/compose/features.ts';
import { projectRoot } from '../../src/project-root.ts';

const IMPORT = /(?:from|import\()\s*'(\.[^']+)'/g;

function namers(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const folders = ['src', 'workers', 'examples', 'scripts', 'bench', 'drill'];
  const files = folders.flatMap((folder) =>
    readdirSync(path.join(projectRoot(), folder), { recursive: true, encoding: 'utf8' }).map(
      (name) => `${folder}/${name}`,
    ),
  );
  for (const file of files.filter((name) => name.endsWith('.ts') && name !== LIST && !name.includes('/generated/'))) {
    for (const [, module = ''] of readFileSync(path.join(projectRoot(), file), 'utf8').matchAll(IMPORT)) {
      const feature = /^src\/features\/([^/]+)\//.exec(path.join(path.dirname(file), module))?.[1];
      if (feature === undefined || feature === roomOf(file)) continue;
      found.set(feature, (found.get(feature) ?? new Set()).add(roomOf(file)));
    }
  }
  return found;
}

test('each folder of a feature is in the list, under its name', () => {
  const folders = readdirSync(path.join(projectRoot(), 'src/features'));
  expect(FEATURES.map(({ name }) => name).sort()).toEqual(folders.sort());
});

test('a feature is named by its line in the list, and by those alone that are written down', () => {
  const found = [...namers()].map(([feature, rooms]) => [feature, [...rooms].sort()] as const);
  expect(Object.fromEntries(found)).toEqual(NAMED_BY);
});
