import { expect, test } from 'vitest';
import { SOCKET_CODES } from '../../../../src/store/core/socket-codes.ts';
import {
  isDataFault,
  isTransient,
  mayBeCommitted,
  needsRepair,
  untilItPasses,
} from '../../../../src/store/core/transient.ts';
import { isUnavailable } from '../../../../src/store/core/unavailable.ts';

const failure = (code: string) => Object.assign(new Error('no'), { code });
/** As the Prisma client throws what the database said. */
const ofClient = (code: string) =>
  Object.assign(new Error('Invalid `prisma.run.findFirst()` invocation'), {
    code: 'P2039',
    meta: { driverAdapterError: { cause: { originalCode: code, originalMessage: 'no', kind: 'postgres' } } },
  });

test.each([...SOCKET_CODES, '08006', '53100', '53300', '57P01', '57P03', '25006'])(
  '%s passes by itself: a worker keeps its outcome and sends it again, and the API answers 503',
  (code) => {
    expect(isTransient(failure(code))).toBe(true);
    expect(isUnavailable(failure(code))).toBe(true);
    expect(isDataFault(failure(code))).toBe(false);
  },
);

test.each(['40001', '40P01'])('%s is tried again, though the database is there', (code) => {
  expect(isTransient(failure(code))).toBe(true);
  expect(isUnavailable(failure(code))).toBe(false);
});

test.each(['55P03', '57014', '58030'])(
  '%s is waited for: a worker keeps its outcome and sends it again after a while, and the API answers 503',
  (code) => {
    expect(isUnavailable(failure(code))).toBe(true);
    expect(isUnavailable(new Error('wrapped', { cause: failure(code) }))).toBe(true);
    expect(untilItPasses(failure(code), 1)).toBeGreaterThan(0);
    expect(isDataFault(failure(code))).toBe(false);
  },
);

test.each(['42P01', '25P02', '22P05', '23505'])('%s does not pass by itself', (code) => {
  expect(isTransient(failure(code))).toBe(false);
  expect(isUnavailable(failure(code))).toBe(false);
});

test.each([
  ...[...SOCKET_CODES, '08006', '53100', '53300', '57P01', '57P03', '25006', '40001', '40P01'],
  ...['55P03', '57014', '58030', '22021', '22P05', '23505', '54001', '42P01', '42501', '25P02'],
])('%s means the same when the Prisma client throws it', (code) => {
  const seen = (error: unknown) => ({
    transient: isTransient(error),
    ofData: isDataFault(error),
    mayBeCommitted: mayBeCommitted(error),
    needsRepair: needsRepair(error),
    passesIn: untilItPasses(error, 1),
    unavailable: isUnavailable(error),
  });
  expect(seen(ofClient(code))).toEqual(seen(failure(code)));
});

test('an error of the Prisma client that did not come from the database says nothing of it', () => {
  const notFound = Object.assign(new Error('No record was found'), { code: 'P2025', meta: { cause: 'none' } });
  expect(isTransient(notFound)).toBe(false);
  expect(isDataFault(notFound)).toBe(false);
  expect(isUnavailable(notFound)).toBe(false);
});
