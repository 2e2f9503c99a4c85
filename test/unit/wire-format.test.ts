/** Stores return camelCase rows with dates; `http/present` and the endpoints of a feature make the JSON of the API of them. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../../src/project-root.ts';

const ROOT = projectRoot();
const STORES = /^src\/store\/(?!generated\/)|^src\/features\/[^/]+\/(?:[a-z-]+-)?store\.ts$/;

/** What looks like the wire format and is none. */
const NO_ANSWERS: ReadonlyMap<string, string> = new Map([
  ['src/features/approvals/store.ts', 'what an event has as its data'],
  ['src/features/audit/store.ts', 'the text of which the chain is made'],
  ['src/features/peers/replica-store.ts', 'what a peer has sent, as it was parsed'],
  ['src/features/service-apis/store.ts', 'what an event has as its data'],
  ['src/store/core/database.ts', 'a setting of PostgreSQL'],
  ['src/store/core/row-level-security.ts', 'a setting of PostgreSQL'],
  ['src/store/migrations/partitions.ts', 'the name of a table'],
  ['src/store/payloads/payload-columns.ts', 'tables'],
  ['src/store/runs/run-row.ts', 'a reference to a definition, as jobs have it'],
]);

const WRITTEN_TIME = /\b(?:toISOString|isoText)\(/g;
/** A property of an object in snake_case; a line of an interface ends in a semicolon. */
const SNAKE_CASE = /^[ \t]+(?:return \{ )?[a-z]+(?:_[a-z\d]+)+: .*[^;\n]$|^[ \t]+return \{ [a-z]+(?:_[a-z\d]+)+: .*$/gm;
const SHAPE =
  /from '(?:\.\/(?:[a-z-]+-)?schemas|(?:\.\.\/)+schemas\/(?:[a-z-]*answers|control|engine-health|external-tasks|late-effects|run-events|run-logs|waiting-for|why))\.ts'/g;

const wireIn = (code: string) => [WRITTEN_TIME, SNAKE_CASE, SHAPE].flatMap((of) => code.match(of) ?? []);

describe('the wire format', () => {
  const found = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .map((name) => path.posix.join('src', name))
    .filter((file) => file.endsWith('.ts') && STORES.test(file))
    .map((file) => ({ file, wire: wireIn(readFileSync(path.join(ROOT, file), 'utf8')) }));

  test('is made by no store', () => {
    expect(found.length).toBeGreaterThan(80);
    expect(found.filter(({ file, wire }) => wire.length > 0 && !NO_ANSWERS.has(file))).toEqual([]);
  });

  test('has no exception that is not needed any more', () => {
    const making = new Set(found.flatMap(({ file, wire }) => (wire.length > 0 ? [file] : [])));
    expect([...NO_ANSWERS.keys()].filter((file) => !making.has(file))).toEqual([]);
  });

  test.each([
    'at: row.at.toISOString(),',
    'const at = isoText(row.at);',
    '    created_by: row.createdBy,',
    '  return { task_id: id, status };',
    "import type { Execution } from '../../schemas/workflow-answers.ts';",
    "import type { SagaStats } from './schemas.ts';",
  ])('is seen in %s', (code) => {
    expect(wireIn(code)).toHaveLength(1);
  });

  test.each([
    '  created_by: string;',
    '  const { created_by: createdBy } = row;',
    'createdBy: row.created_by,',
    'SELECT created_by AS "createdBy"',
    "import type { Json } from '../../schemas/json.ts';",
  ])('is not seen in %s', (code) => {
    expect(wireIn(code)).toEqual([]);
  });
});
