import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { RUN_MOVES, RUN_STATUSES, TASK_STATUSES } from '../../../../src/domain/runs/run-states.ts';
import { mayMove, notBarredFrom, sqlList } from '../../../../src/store/core/states.ts';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

describe('a condition', () => {
  test('names all the statuses that a move leads from', () => {
    expect(mayMove('start')).toBe(`status IN ('pending', 'queued')`);
    expect(mayMove('rouse', 'r.status')).toBe(`r.status = 'waiting'`);
  });

  test('names the open statuses that bar a move', () => {
    expect(notBarredFrom('cancel', 'b.status')).toBe(`b.status NOT IN ('cancelling', 'compensating')`);
    expect(notBarredFrom('compensate')).toBe(`status <> 'compensating'`);
  });

  test('is made of plain words alone', () => {
    expect(sqlList(['timed_out'])).toBe(`('timed_out')`);
    for (const word of ['', `it's`, 'two words', `') OR true --`]) expect(() => sqlList([word])).toThrow(`'${word}'`);
  });
});

/** Lists of statuses that are written out where they stand. */
const WRITTEN_OUT: ReadonlyMap<string, string> = new Map([
  ['src/domain/runs/run-states.ts', 'the table'],
  ['src/features/external-workers/attempt-statements.ts', 'the states of external tasks, which are others'],
  ['src/features/external-workers/published-store.ts', 'likewise'],
  ['src/store/metric-totals.ts', 'why a run failed is counted of those alone'],
  ['src/doctor/tables.ts', 'runs whose sleepers a reconciler has to wake, as an independent look'],
  ['src/http/present/runs.ts', 'the four numbers that a progress has'],
]);

/** Of what has a status besides runs and tasks: workflows, external tasks, deliveries of webhooks, operations on many runs. */
const OTHER_WORDS = ['active', 'available', 'leased', 'delivered', 'dead', 'superseded', 'closed'];

const WORDS: ReadonlySet<string> = new Set([...RUN_STATUSES, ...TASK_STATUSES]);

/** What clients read and write; the compiler holds the statuses of runs and tasks among it against the table. */
const SCHEMAS = /^src\/schemas\/|schemas\.ts$/;
const STATEMENTS = /^src\/(?:store|features)\//;

describe('in the source', () => {
  const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .map((name) => path.posix.join('src', name))
    .filter((file) => file.endsWith('.ts') && !file.includes('/generated/'))
    .map((file) => ({ file, code: readFileSync(path.join(ROOT, file), 'utf8') }));

  test('no list of statuses is written out but by the table', () => {
    // `IN ('one', 'other')`, `['one', 'other']`, `f('one', 'other')`.
    const lists = /[([]\s*'\w+'(?:\s*,\s*'\w+')+\s*,?\s*[)\]]/g;
    const found = sources
      .filter(({ file }) => !SCHEMAS.test(file))
      .flatMap(({ file, code }) =>
        [...code.matchAll(lists)]
          .filter(([list]) => [...list.matchAll(/'(\w+)'/g)].every(([, word = '']) => WORDS.has(word)))
          .map(([list]) => ({ file, list })),
      );
    const files = new Set(found.map(({ file }) => file));
    expect(found.filter(({ file }) => !WRITTEN_OUT.has(file))).toEqual([]);
    // A file that needs no exception any more gets none.
    expect([...WRITTEN_OUT.keys()].filter((file) => !files.has(file))).toEqual([]);
  });

  test('a statement knows no status but those there are', () => {
    const compared = sources
      .filter(({ file }) => STATEMENTS.test(file))
      .flatMap(({ file, code }) =>
        [...code.matchAll(/\bstatus (?:=|<>) '(\w+)'/g)].map(([, word = '']) => ({ file, word })),
      );
    expect(compared.length).toBeGreaterThan(100);
    const known = new Set([...WORDS, ...OTHER_WORDS]);
    expect(compared.filter(({ word }) => !known.has(word))).toEqual([]);
  });

  const SETS = /\bUPDATE run(?: r)? SET\b(?:(?!\b(?:FROM|WHERE)\b)[^`])*?\bstatus = (?:'(\w+)'|CASE([^`]*?)\bEND\b)/g;

  test('a statement sets no run to what no move leads to', () => {
    const targets: ReadonlySet<string> = new Set(Object.values(RUN_MOVES).flatMap(({ to }) => to));
    const set = sources.flatMap(({ file, code }) =>
      [...code.matchAll(SETS)].flatMap(([, word, choice = '']) =>
        word === undefined
          ? [...choice.matchAll(/(?:THEN|ELSE) '(\w+)'/g)].map(([, each = '']) => ({ file, word: each }))
          : [{ file, word }],
      ),
    );
    expect(set.length).toBeGreaterThan(12);
    expect(set.filter(({ word }) => !targets.has(word))).toEqual([]);
  });
});
