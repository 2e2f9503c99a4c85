import { describe, expect, test } from 'vitest';
import { approval } from '../../../../src/features/approvals/adapter.ts';
import { atDeadline, mayDecide, namesApprovers, type OnTimeout } from '../../../../src/features/approvals/domain.ts';
import type { Json } from '../../../../src/schemas/json.ts';

const state = (onTimeout: OnTimeout, more: { overdue?: boolean; escalated?: boolean } = {}) => ({
  ...{ approvers: ['anna'], onTimeout, escalateTo: ['chief'], overdue: true, escalated: false },
  ...more,
});

describe('at the deadline', () => {
  test.each<[OnTimeout, object]>([
    ['fail', { next: 'end', verdict: 'timed_out' }],
    ['approve', { next: 'end', verdict: 'approved' }],
    ['reject', { next: 'end', verdict: 'rejected' }],
    ['escalate', { next: 'escalate' }],
  ])('on_timeout: %s', (onTimeout, expected) => {
    expect(atDeadline(state(onTimeout))).toEqual(expected);
    expect(atDeadline(state(onTimeout, { overdue: false }))).toEqual({ next: 'wait' });
  });

  test('an approval is escalated once', () => {
    expect(atDeadline(state('escalate', { escalated: true }))).toEqual({ next: 'end', verdict: 'timed_out' });
  });
});

const deciders = (approvers: string[], fourEyes = false) => ({ approvers, fourEyes, startedBy: 'anna' });

test('where nobody is named everybody may decide, else those who are named', () => {
  expect(mayDecide(deciders([]), 'carl')).toBe(true);
  expect(mayDecide(deciders(['anna']), 'anna')).toBe(true);
  expect(mayDecide(deciders(['anna']), 'Anna')).toBe(false);
});

test('with four eyes who started the run decides nothing, named or not', () => {
  expect(mayDecide(deciders(['anna', 'ben'], true), 'anna')).toBe(false);
  expect(mayDecide(deciders(['anna', 'ben'], true), 'ben')).toBe(true);
  expect(mayDecide(deciders([], true), 'anna')).toBe(false);
  expect(mayDecide(deciders([], true), 'carl')).toBe(true);
});

test.each<[Json, boolean]>([
  [{}, false],
  [{ message: 'Go?', approvers: [] }, false],
  [{ four_eyes: false }, false],
  [{ approvers: ['anna'] }, true],
  [{ approvers: '{{params.approvers}}' }, true],
  [{ escalate_to: 'chief' }, true],
  [{ four_eyes: true }, true],
  [{ four_eyes: '{{params.strict}}' }, true],
  ['{{params.config}}', true],
])('an approval with %j is for certain people: %j', (config, expected) => {
  expect(namesApprovers(config)).toBe(expected);
});

describe('a config is rejected', () => {
  test.each([
    [{ on_timeout: 'approve' }, 'timeout_seconds'],
    [{ on_timeout: 'escalate', timeout_seconds: 1 }, 'escalate_to'],
    [{ escalate_to: 'chief', timeout_seconds: 1 }, 'escalate_to'],
    [{ approvers: ['role:boss'] }, 'approvers.0'],
    [{ timeout_seconds: 0 }, 'timeout_seconds'],
  ])('%j', (config, path) => {
    const parsed = approval.config.safeParse(config);
    expect(parsed.error?.issues.map((issue) => issue.path.join('.'))).toContain(path);
  });

  test('and escalate_to may be one user or several', () => {
    const parsed = approval.config.parse({ timeout_seconds: 1, on_timeout: 'escalate', escalate_to: 'chief' });
    expect(parsed.escalate_to).toEqual(['chief']);
  });
});
