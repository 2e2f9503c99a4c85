import { describe, expect, test } from 'vitest';
import { linesOfFaults, problemsOfFaults, visibleFaults } from '../../../../src/domain/health/fault-problems.ts';
import {
  afterFailure,
  cannotPass,
  FAULT_KINDS,
  type Fault,
  groupFaults,
  growingDelay,
  isForgotten,
  isProblem,
  plainWords,
  remedyOf,
  toFaultError,
} from '../../../../src/domain/health/system-faults.ts';
import { createFaultLedger } from '../../../../src/engine/recover/fault-ledger.ts';

const fault = (more: Partial<Fault> = {}): Fault => ({
  kind: 'statement',
  source: 'claim-task',
  class: '42P01',
  message: 'relation "task" does not exist',
  firstAt: 1_000,
  lastAt: 1_000,
  count: 1,
  ...more,
});
const REJECTED = { class: '42P01', message: 'relation "task" does not exist' };
const AWAY = { class: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:5432' };

test.each([
  ['42P01', true],
  ['42703', true],
  ['42883', true],
  ['42601', true],
  ['42501', true],
  ['3F000', true],
  ['0A000', true],
  ['25006', true],
  ['28P01', true],
  ['unsupported_version', true],
  ['25P02', false],
  ['08006', false],
  ['57P01', false],
  ['53100', false],
  ['40001', false],
  ['55P03', false],
  ['57014', false],
  ['ECONNREFUSED', false],
  ['error', false],
])('whether %s waits for somebody who repairs it: %s', (of, permanent) => {
  expect(cannotPass(of)).toBe(permanent);
  expect(plainWords(of)).not.toBe('');
  expect(remedyOf(of)).toMatch(/\.$/);
});

describe('a fault is a problem', () => {
  test('when the database rejects the same thing twice; once may be a deploy that is under way', () => {
    const first = afterFailure(undefined, { kind: 'statement', source: 'claim-task', ...REJECTED }, 1_000);
    expect(isProblem(first)).toBe(false);
    expect(isProblem(afterFailure(first, first, 1_200))).toBe(true);
  });

  test('when what should pass has not passed for a while', () => {
    const first = afterFailure(undefined, { kind: 'connection', source: 'database', ...AWAY }, 1_000);
    const soon = afterFailure(first, first, 3_000);
    expect(isProblem(soon)).toBe(false);
    expect(isProblem(afterFailure(soon, soon, 9_000))).toBe(true);
  });

  test('at once when the probe of the write path says so, or when nothing moves', () => {
    expect(isProblem(fault({ kind: 'write_path' }))).toBe(true);
    expect(isProblem(fault({ kind: 'progress', class: 'no_answer' }))).toBe(true);
  });

  test('and another one when the error is another: it starts again', () => {
    const away = fault({ class: 'ECONNREFUSED', count: 9 });
    expect(afterFailure(away, fault(), 5_000)).toMatchObject({ class: '42P01', firstAt: 5_000, count: 1 });
  });

  test('until nobody has met it for half a minute; background work repeats by itself and ends by success alone', () => {
    expect(isForgotten(fault(), 31_000)).toBe(false);
    expect(isForgotten(fault(), 31_001)).toBe(true);
    expect(isForgotten(fault({ kind: 'work' }), 600_000)).toBe(false);
  });
});

describe('the ledger', () => {
  test('lists what fails now, the oldest first; a success of the same source ends it, and of no other', () => {
    let now = 1_000;
    const ledger = createFaultLedger(() => now);
    expect(ledger.isEmpty()).toBe(true);
    for (const source of ['look-up', 'claim-task', 'look-up', 'claim-task']) {
      ledger.failed('statement', source, REJECTED);
      now += 100;
    }
    expect(ledger.problems()).toMatchObject([
      { source: 'look-up', firstAt: 1_000, lastAt: 1_200, count: 2 },
      { source: 'claim-task', firstAt: 1_100, count: 2 },
    ]);
    ledger.succeeded('work', 'look-up');
    ledger.succeeded('statement', 'look-up');
    expect(ledger.problems().map(({ source }) => source)).toEqual(['claim-task']);
    ledger.succeeded('statement', 'claim-task');
    expect(ledger.isEmpty()).toBe(true);
  });

  test('ends all of a class when its cause has ended, but for background work, which says so itself', () => {
    const ledger = createFaultLedger(() => 0);
    for (const _ of [1, 2]) {
      ledger.failed('statement', 'accept-runs', REJECTED);
      ledger.failed('work', 'sweep', REJECTED);
      ledger.failed('delivery', 'wait', { class: '53100', message: 'no space left on device' });
    }
    ledger.causeEnded('42P01');
    ledger.failed('delivery', 'wait', { class: '53100', message: 'no space left on device' });
    expect(ledger.problems().map(({ source }) => source)).toEqual(['sweep']);
  });

  test('forgets what nobody meets any more', () => {
    let now = 0;
    const ledger = createFaultLedger(() => now);
    ledger.failed('delivery', 'wait', REJECTED);
    ledger.failed('delivery', 'wait', REJECTED);
    now = 30_001;
    expect(ledger.problems()).toEqual([]);
    expect(ledger.isEmpty()).toBe(true);
  });
});

test('one cause is one problem, under the name that says most, with all that it stops', () => {
  const groups = groupFaults([
    { ...fault({ kind: 'work', source: 'sweep', firstAt: 500 }), reporter: 'w-1' },
    { ...fault({ kind: 'delivery', source: 'http_request' }), reporter: 'w-1' },
    { ...fault({ kind: 'write_path', source: 'database' }), reporter: 'w-2' },
    fault(),
    fault({ kind: 'work', source: 'heartbeat', class: '42501', message: 'permission denied for table worker' }),
  ]);
  expect(groups).toMatchObject([
    {
      kind: 'write_path',
      firstAt: 500,
      sources: ['database', 'claim-task', 'http_request', 'sweep'],
      lanes: ['http_request'],
      reporters: ['w-2', 'w-1'],
    },
    { kind: 'work', class: '42501', sources: ['heartbeat'], reporters: [] },
  ]);
  expect(problemsOfFaults(groups).map(({ code, since }) => ({ code, since }))).toEqual([
    { code: 'database_not_usable', since: 500 },
    { code: 'background_work_failing', since: 1_000 },
  ]);
});

test.each(FAULT_KINDS)('of a fault of the kind %s what the server said is for operators alone', (kind) => {
  const groups = groupFaults([{ ...fault({ kind, message: 'relation "hidden" does not exist' }), reporter: 'host:1' }]);
  expect(linesOfFaults(visibleFaults(groups, 'default')).join()).toMatch(/42P01.*hidden.*host:1/);
  const [line] = linesOfFaults(visibleFaults(groups, 'acme'));
  expect(line).toContain('42P01, a table is missing');
  expect(line).not.toMatch(/hidden|host:1/);
});

test('words of an error are one line, bounded, and without what is secret', () => {
  const { message } = toFaultError('28P01', `password for postgres://u:hunter2@db/x is wrong\nSELECT * FROM secret`);
  expect(message).toBe('password for postgres://u:***@db/x is wrong');
  expect(toFaultError(undefined, 'x'.repeat(1_000))).toEqual({ class: 'error', message: 'x'.repeat(300) });
});

test('the pause doubles up to its bound', () => {
  expect([0, 1, 2, 3, 4, 5, 100].map((failures) => growingDelay(failures, 1_000, 15_000))).toEqual([
    1_000, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000,
  ]);
});
