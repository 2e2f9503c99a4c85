import { describe, expect, test } from 'vitest';
import {
  goesOnWithParent,
  type Pausable,
  pausedAbove,
  pauseOf,
  resumeOf,
} from '../../../../src/domain/runs/pause-reach.ts';

const run = (status: string, more: Partial<Pausable> = {}): Pausable => ({
  status,
  final: false,
  withParent: false,
  ...more,
});
const LIVE = ['pending', 'queued', 'running'];
const BUSY_ENDING = ['cancelling', 'compensating'];
const WITH_PARENT = run('paused', { withParent: true });
const ENDED = run('completed', { final: true });

describe('a pause', () => {
  test.each(LIVE)('comes in a run that is %s', (status) => {
    expect(pauseOf(run(status))).toBe('pause');
    expect(pausedAbove(run(status))).toBe('pause');
  });

  test.each(BUSY_ENDING)('does not come in a run that is %s, nor from above', (status) => {
    expect(pauseOf(run(status))).toBe('reject');
    expect(pausedAbove(run(status))).toBe('leave');
  });

  test('does not come in a run that has ended or was paused by somebody', () => {
    expect(pauseOf(ENDED)).toBe('reject');
    expect(pauseOf(run('paused'))).toBe('reject');
    expect(pausedAbove(ENDED)).toBe('leave');
  });

  test('of a run that is paused with its parent makes it one that stays paused', () => {
    expect(pauseOf(WITH_PARENT)).toBe('by_itself');
  });

  test('from above leaves as it is what is paused, and goes on below it', () => {
    expect([pausedAbove(run('paused')), pausedAbove(WITH_PARENT)]).toEqual(['pass', 'pass']);
  });
});

describe('a resume', () => {
  test('lets a paused run go on, whoever paused it, when none above it is paused', () => {
    expect([resumeOf(run('paused'), false), resumeOf(WITH_PARENT, false)]).toEqual(['go_on', 'go_on']);
  });

  test('of a child below a paused run only takes away its own pause, and is rejected where it has none', () => {
    expect(resumeOf(run('paused'), true)).toBe('with_parent');
    expect(resumeOf(WITH_PARENT, true)).toBe('parent_first');
  });

  test('is rejected by what is not paused', () => {
    for (const one of [ENDED, ...[...LIVE, ...BUSY_ENDING].map((status) => run(status))]) {
      expect([resumeOf(one, false), resumeOf(one, true)]).toEqual(['reject', 'reject']);
    }
  });

  test('of the parent takes along exactly what was paused with it', () => {
    expect(goesOnWithParent(WITH_PARENT)).toBe(true);
    expect(goesOnWithParent(run('paused'))).toBe(false);
    // What it remembers counts only while it is paused.
    for (const one of [run('cancelling', { withParent: true }), run('cancelled', { withParent: true, final: true })]) {
      expect(goesOnWithParent(one)).toBe(false);
    }
  });
});
