/** What the check of deletions finds, in a small house of two features. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Deletion, type NamedBy, tryDeletions } from '../../scripts/feature-deletions.ts';
import { projectRoot } from '../../src/project-root.ts';

const HOUSE = {
  'package.json': '{"type":"module"}',
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      ...{ module: 'NodeNext', strict: true, incremental: true, types: [], noEmit: true },
      allowImportingTsExtensions: true,
    },
  }),
  'tsconfig.build.json': '{"extends":"./tsconfig.json","include":["src","workers"]}',
  'src/features/plain/index.ts': 'export const plain = 1;\n',
  'src/features/two-words/index.ts': 'export const twoWords = 2;\nexport interface Word { letters: number }\n',
  'src/compose/features.ts': [
    "import { plain } from '../features/plain/index.ts';",
    "import { twoWords } from '../features/two-words/index.ts';",
    'export const FEATURES = [',
    '  plain,',
    '  twoWords,',
    '];',
    '',
  ].join('\n'),
  'src/engine/run.ts': 'export const run = 3;\n',
  'workers/adapter.ts': 'export const adapter = 4;\n',
  'examples/none.ts': '',
  'sdk/none.ts': '',
};
const NAMING = "import type { Word } from '../features/two-words/index.ts';\nexport type Run = Word;\n";

let root: string;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'house-'));
  for (const [file, text] of Object.entries(HOUSE)) write(file, text);
  symlinkSync(path.join(projectRoot(), 'node_modules'), path.join(root, 'node_modules'), 'junction');
});
afterEach(() => rmSync(root, { recursive: true }));

function write(file: string, text: string): void {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), text);
}

function deletions(namedBy: NamedBy = {}): Promise<Deletion[]> {
  return tryDeletions(root, namedBy);
}

test('a feature that nobody names goes with its folder and its line', async () => {
  expect(await deletions()).toEqual([
    { feature: 'plain', rooms: [], unexpected: [], unneeded: [] },
    { feature: 'two-words', rooms: [], unexpected: [], unneeded: [] },
  ]);
});

test('a room of the trunk that names a feature is found, unless it is known to', async () => {
  write('src/engine/run.ts', NAMING);
  const [plain, named] = await deletions();
  expect(plain?.unexpected).toEqual([]);
  expect(named?.unexpected).toEqual([expect.stringMatching(/^src\/engine\/run\.ts\(1,.*two-words/)]);

  expect((await deletions({ 'two-words': ['engine'] }))[1]).toMatchObject({ rooms: ['engine'], unexpected: [] });
});

test('what compiles only with a feature is found, even if it does not import it', async () => {
  write('src/features/plain/index.ts', 'export const plain = 1;\ndeclare global { var fromPlain: number }\n');
  write('workers/adapter.ts', 'export const adapter = () => globalThis.fromPlain;\n');
  expect((await deletions({ plain: [] }))[0]).toMatchObject({ rooms: ['workers'], unneeded: [] });
});

test('a room that is said to name a feature, and does not, is found', async () => {
  expect((await deletions({ plain: ['workers'] }))[0]).toMatchObject({ unexpected: [], unneeded: ['workers'] });
});

test('what does not compile as it is says nothing about features', async () => {
  write('src/engine/run.ts', "export const run: number = 'three';\n");
  await expect(deletions()).rejects.toThrow(/does not compile as it is: src\/engine\/run\.ts/);
});
