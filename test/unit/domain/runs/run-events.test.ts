import { describe, expect, test } from 'vitest';
import {
  eventsAfter,
  FROM_THE_START,
  hasEnded,
  hasNews,
  isAhead,
  type RunEvent,
  type RunProgress,
  readPosition,
} from '../../../../src/domain/runs/run-events.ts';

const AT = new Date('2030-01-01T12:00:00.000Z');
const accepted: RunProgress = { final: false, startedAt: null, last: 0 };
const begun: RunProgress = { final: false, startedAt: AT, last: 0 };
const event = (id: number, at = AT): RunEvent => {
  return { id, kind: 'task.completed', actionId: 'a', epoch: 1, attempt: 1, at, details: null };
};

describe('the position of a reader', () => {
  test.each([
    ['0', 0],
    ['7', 7],
    ['2147483647', 2 ** 31 - 1],
  ])('%s is one', (text, position) => {
    expect(readPosition(text)).toBe(position);
  });

  test.each(['', '-1', '007', '1.5', '1e3', ' 1', '2147483648', '99999999999', 'abc', '１'])('"%s" is none', (text) => {
    expect(readPosition(text)).toBeUndefined();
  });

  test('cannot be ahead of the run; the start is there as soon as somebody can have seen it', () => {
    expect(isAhead({ ...begun, last: 3 }, 4)).toBe(true);
    expect(isAhead({ ...begun, last: 3 }, 3)).toBe(false);
    expect(isAhead(begun, 0)).toBe(false);
    expect(isAhead(accepted, FROM_THE_START)).toBe(false);
    expect(isAhead(accepted, 1)).toBe(true);
  });
});

describe('news', () => {
  test('for who has seen nothing: the run has started, which its tasks may show first', () => {
    expect(hasNews(accepted, FROM_THE_START)).toBe(false);
    expect(hasNews(begun, FROM_THE_START)).toBe(true);
    expect(hasNews({ ...accepted, last: 1 }, FROM_THE_START)).toBe(true);
  });

  test('for who has seen some: there are later ones', () => {
    expect(hasNews({ ...begun, last: 2 }, 1)).toBe(true);
    expect(hasNews({ ...begun, last: 2 }, 2)).toBe(false);
    expect(hasNews(begun, 0)).toBe(false);
  });
});

describe('the end of a stream', () => {
  test('comes when the run has ended and all of it was read, not a moment before', () => {
    const ended = { ...begun, final: true, last: 3 };
    expect(hasEnded(ended, 3)).toBe(true);
    expect(hasEnded(ended, 2)).toBe(false);
    expect(hasEnded({ ...ended, final: false }, 3)).toBe(false);
  });

  test('does not come for who has read on: the run was retried after it was read', () => {
    expect(hasEnded({ ...begun, final: true, last: 3 }, 4)).toBe(false);
  });
});

describe('what comes next', () => {
  test('begins with run.started, when the run started', () => {
    const started = { id: 0, kind: 'run.started', actionId: null, epoch: 1, attempt: null, at: AT, details: null };
    expect(eventsAfter(begun, FROM_THE_START, [])).toEqual([started]);
    expect(eventsAfter({ ...begun, last: 1 }, FROM_THE_START, [event(1)])).toEqual([started, event(1)]);
  });

  test('takes the time of the first event for a run that is not marked as started yet', () => {
    const earlier = new Date('2029-01-01T00:00:00.000Z');
    const [started] = eventsAfter({ ...accepted, last: 1 }, FROM_THE_START, [event(1, earlier)]);
    expect(started).toMatchObject({ kind: 'run.started', at: earlier });
  });

  test('has the start once', () => {
    expect(eventsAfter({ ...begun, last: 1 }, 0, [event(1)])).toEqual([event(1)]);
    expect(eventsAfter(accepted, FROM_THE_START, [])).toEqual([]);
  });
});
