/** Expand first, contract a release later: what old versions still use is not taken away from under them. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { MIGRATIONS_FOLDER } from '../../../../src/store/migrations/migrate.ts';
import { isBeside } from '../../../../src/store/migrations/migration-script.ts';
import { contractSteps } from '../../../support/contract-steps.ts';

/**
 * Steps that were thought through: by migration, what it does and why it may. A step that takes something away names the
 * release since which nothing uses it any more.
 */
const ALLOWED: Readonly<Record<string, { steps: string[]; because: string }>> = {
  '20261121164000_audit': {
    steps: ['rewrites or reads a table under a lock'],
    because: 'Triggers that refuse TRUNCATE, of tables that are made here: nothing is truncated.',
  },
  '20261121073426_dead_letters': {
    steps: ['makes an index while nobody can write to event', 'makes an index while nobody can write to task'],
    because: 'Before the first release.',
  },
  '20261121074401_engine_health': {
    steps: ['makes an index while nobody can write to run'],
    because: 'Before the first release.',
  },
  '20261121074910_retention': {
    steps: ['makes an index while nobody can write to run'],
    because: 'Before the first release.',
  },
  '20261121094003_attempt_partitions': {
    steps: ['drops a table', 'renames'],
    because:
      'Another table of the same name and columns takes its place in the same transaction; it is dropped only when empty.',
  },
  '20261121094004_event_partitions': {
    steps: ['drops a table', 'renames'],
    because: 'As with attempts.',
  },
  '20261121111655_pending_in_order': {
    steps: ['makes an index while nobody can write to run'],
    because: 'Before the first release.',
  },
  '20261121123136_task_parking_and_parts': {
    steps: ['makes an index while nobody can write to task'],
    because: 'Before the first release.',
  },
  '20261121125000_parts': {
    steps: ['makes an index while nobody can write to task'],
    because: 'Before the first release.',
  },
  '20261121130001_fair_share': {
    steps: Array.from({ length: 4 }, () => 'makes an index while nobody can write to run'),
    because: 'Before the first release.',
  },
  '20261121155000_traces': {
    steps: Array.from({ length: 2 }, () => 'makes an index while nobody can write to run'),
    because: 'Before the first release.',
  },
  '20261121140000_sagas': {
    steps: ['makes an index while nobody can write to run'],
    because: 'Before the first release.',
  },
};

const names = readdirSync(MIGRATIONS_FOLDER, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

function readScript(name: string): string {
  return readFileSync(path.join(MIGRATIONS_FOLDER, name, 'migration.sql'), 'utf8');
}

test.each(names)('%s only adds, or its other steps are listed with their reason', (name) => {
  expect(contractSteps(readScript(name))).toEqual(ALLOWED[name]?.steps ?? []);
});

const INDEX_BESIDE =
  /^DROP INDEX CONCURRENTLY IF EXISTS ("\w+");\nCREATE (?:UNIQUE )?INDEX CONCURRENTLY \1 ON [^;\n]+;\n$/;

test.each(names.filter((name) => isBeside(readScript(name))))(
  '%s, beside the traffic, has nothing but one index, and takes away the half that is there',
  (name) => {
    expect(readScript(name)).toMatch(INDEX_BESIDE);
  },
);

test('what runs beside the traffic is known by the word, if it does not stand in a comment', () => {
  expect(names.filter((name) => isBeside(readScript(name)))).toHaveLength(16);
  expect(isBeside('-- a\ncreate index concurrently i ON run (a);')).toBe(true);
  expect(isBeside('-- CONCURRENTLY\n  -- CONCURRENTLY: not here\nSELECT 1;')).toBe(false);
});

test('the program applies them without the schema engine', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  expect(files).toContain('store/migrations/migrate.ts');
  expect(files.filter((file) => readFileSync(path.join('src', file), 'utf8').includes('schema-engine'))).toEqual([]);
});

test('no migration is listed that does not exist', () => {
  expect(Object.keys(ALLOWED).filter((name) => !names.includes(name))).toEqual([]);
});

describe('the check', () => {
  test.each([
    ['ALTER TABLE "run" DROP COLUMN "a";', 'drops a column'],
    ['DROP TABLE run', 'drops a table'],
    ['alter table run alter column a set data type bigint', 'changes a type'],
    ['ALTER TABLE run ALTER a TYPE bigint', 'changes a type'],
    ['ALTER TABLE run ALTER COLUMN a SET NOT NULL', 'forbids null'],
    ['ALTER TABLE run ALTER COLUMN a DROP DEFAULT', 'drops a default'],
    ['ALTER TABLE run RENAME COLUMN a TO b', 'renames'],
    ['ALTER TABLE "run" ADD COLUMN     "a" TEXT NOT NULL;', 'adds a column that has to be written'],
    ['ALTER TABLE run ADD COLUMN a TEXT DEFAULT 1, ADD COLUMN b TEXT NOT NULL', 'adds a column that has to be written'],
    ['ALTER TABLE run ADD CONSTRAINT c CHECK (a > 1)', 'adds a constraint and reads the whole table under its lock'],
    ['CREATE UNIQUE INDEX "i" ON "run"("a")', 'makes an index while nobody can write to run'],
    ['DO $$ BEGIN TRUNCATE run; END $$', 'rewrites or reads a table under a lock'],
  ])('finds that %s', (sql, step) => {
    expect(contractSteps(sql)).toEqual([step]);
  });

  test.each([
    'ALTER TABLE run ADD COLUMN a TEXT',
    'ALTER TABLE run ADD COLUMN a INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE run ADD CONSTRAINT c CHECK (a > 1) NOT VALID',
    'CREATE INDEX CONCURRENTLY i ON run (a)',
    'CREATE TABLE t (a TEXT NOT NULL); CREATE INDEX i ON t (a); ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1)',
    'DROP INDEX i',
    '-- DROP TABLE run',
  ])('lets pass %s', (sql) => {
    expect(contractSteps(sql)).toEqual([]);
  });
});
