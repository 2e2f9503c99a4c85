import { expect, test } from 'vitest';
import { nameOf } from '../../../../src/store/core/observed-client.ts';
import { faultErrorOf, storeFault } from '../../../../src/store/core/sqlstate.ts';
import { needsRepair, untilItIsRepaired, untilItPasses } from '../../../../src/store/core/transient.ts';

const error = (code: string, message = 'words') => Object.assign(new Error(message), { code });
/** As Prisma wraps what its adapter threw. */
const wrapped = (code: string) =>
  Object.assign(new Error('Invalid `prisma.task.findMany()` invocation'), {
    code: 'P2010',
    meta: { driverAdapterError: { cause: { originalCode: code, originalMessage: 'words', kind: 'postgres' } } },
  });

test.each([
  ['42P01', { class: '42P01', message: 'words', connection: false }],
  ['25006', { class: '25006', message: 'words', connection: false }],
  ['53100', { class: '53100', message: 'words', connection: false }],
  ['55P03', { class: '55P03', message: 'words', connection: false }],
  ['57P01', { class: '57P01', message: 'words', connection: true }],
  ['ECONNREFUSED', { class: 'ECONNREFUSED', message: 'words', connection: true }],
  // Of what was sent, and not of the system.
  ['22P02', undefined],
  ['23505', undefined],
  ['54001', undefined],
  ['P0001', undefined],
  ['EPERM', undefined],
])('%s of the database is %j', (code, expected) => {
  expect(storeFault(error(code))).toEqual(expected);
});

test('a fault is found in what Prisma makes of it, with the words of the server', () => {
  expect(storeFault(wrapped('42703'))).toEqual({ class: '42703', message: 'words', connection: false });
  expect(needsRepair(wrapped('42703'))).toBe(true);
  expect(faultErrorOf(new TypeError('x is not a function'))).toEqual({
    class: 'error',
    message: 'x is not a function',
  });
});

test('an outcome is retried over a database that has to be repaired; what may be done twice does not wait for it', () => {
  const rejected = error('42703');
  expect(untilItPasses(rejected, 1)).toBeUndefined();
  expect([1, 2, 3, 4, 5, 9].map((tries) => untilItIsRepaired(rejected, tries))).toEqual([
    500, 1_000, 2_000, 4_000, 5_000, 5_000,
  ]);
  expect(untilItIsRepaired(error('22P02'), 1)).toBeUndefined();
  expect(untilItIsRepaired(error('57P01'), 1)).toBe(50);
});

test.each([
  [{ name: 'commit-outcomes', text: 'WITH w AS (INSERT INTO task …' }, 'commit-outcomes'],
  ['\nINSERT INTO worker (id) VALUES ($1)', 'insert worker'],
  [{ text: 'UPDATE task SET x = 1' }, 'update task'],
  ['SELECT 1', 'select'],
  ['SELECT "public"."workflow"."id" FROM "public"."workflow" WHERE 1=1', 'select workflow'],
  ['BEGIN', 'begin'],
  [{ submit: () => undefined }, 'statement'],
])(
  'a statement is reported by its name, or by what it does to which table, and never by its text',
  (statement, name) => {
    expect(nameOf(statement)).toBe(name);
  },
);
