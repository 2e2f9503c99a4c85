import { expect, test } from 'vitest';
import { SOCKET_CODES } from '../../src/store/socket-codes.ts';
import { isDataFault, isTransient, untilItPasses } from '../../src/store/transient.ts';
import { isUnavailable } from '../../src/store/unavailable.ts';

const failure = (code: string) => Object.assign(new Error('no'), { code });

test.each([...SOCKET_CODES, '08006', '53100', '53300', '57P01', '57P03', '25006'])(
  '%s passes by itself: a worker keeps its outcome and sends it again, and the doors answer 503',
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
  '%s is waited for: a worker keeps its outcome and sends it again after a while, and the doors answer 503',
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
