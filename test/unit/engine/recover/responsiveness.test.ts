import { describe, expect, test } from 'vitest';
import { createResponsiveness, type LaneState, type Look } from '../../../../src/engine/recover/responsiveness.ts';

const lane = (more: Partial<LaneState> = {}): LaneState => ({
  queue: 'a',
  isFetching: true,
  hasRoom: true,
  taken: 0,
  ...more,
});
const look = (more: Partial<LaneState> = {}, waiting = 1, answers = true): Look => ({
  lanes: [lane(more)],
  waiting: new Map([['a', waiting]]),
  answers,
});
const begin = () => createResponsiveness({ unresponsiveMs: 30_000, maxGapMs: 25_000 });
const hearing = { state: 'responsive' };

/** What each look says, ten seconds apart. */
function looks(every: readonly Look[]) {
  const responsiveness = begin();
  return every.map((each, n) => responsiveness.look(each, n * 10_000));
}

describe('a worker is hearing', () => {
  test.each([
    ['while it takes jobs, however many wait', [0, 1, 2, 3, 4, 5].map((taken) => look({ taken }, 1_000))],
    ['while nothing waits', Array.from({ length: 6 }, () => look({}, 0))],
    ['while it has no room for what waits', Array.from({ length: 6 }, () => look({ hasRoom: false }, 1_000))],
    ['when a wait is over before it is long', [look(), look(), look(), look({}, 0), look(), look(), look()]],
  ])('%s', (_, every) => {
    for (const said of looks(every)) expect(said).toEqual(hearing);
  });

  test('when it is this process that stood still between two looks', () => {
    const responsiveness = begin();
    expect(responsiveness.look(look(), 0)).toEqual(hearing);
    expect(responsiveness.look(look(), 40_000)).toEqual(hearing);
    expect(responsiveness.look(look(), 60_000)).toEqual(hearing);
  });

  test('when nothing could be said for a while', () => {
    const responsiveness = begin();
    responsiveness.look(look(), 0);
    responsiveness.look(look(), 20_000);
    responsiveness.forget();
    expect(responsiveness.look(look(), 40_000)).toEqual(hearing);
  });
});

test('jobs that wait for long, with room for them, make it deaf: it reconnects once, and then is beyond help', () => {
  const said = looks(Array.from({ length: 7 }, () => look()));
  expect(said.slice(0, 3)).toEqual([hearing, hearing, hearing]);
  expect(said[3]).toEqual({ state: 'unresponsive', reason: 'jobs wait and none is taken in a', act: 'reconnect' });
  expect(said.slice(4, 6)).toMatchObject([
    { state: 'unresponsive', act: 'wait' },
    { state: 'unresponsive', act: 'wait' },
  ]);
  expect(said[6]).toMatchObject({ state: 'unrecoverable' });
});

test('one that takes jobs again after the reconnect has all of its chances again', () => {
  const deaf = Array.from({ length: 4 }, () => look());
  const said = looks([...deaf, look({ taken: 1 }), ...Array.from({ length: 4 }, () => look({ taken: 1 }))]);
  expect(said[3]).toMatchObject({ act: 'reconnect' });
  expect(said[4]).toEqual(hearing);
  expect(said.at(-1)).toMatchObject({ act: 'reconnect' });
});

test('a loop that has ended is deaf whether anything waits or not', () => {
  expect(looks(Array.from({ length: 4 }, () => look({ isFetching: false }, 0))).at(-1)).toMatchObject({
    state: 'unresponsive',
  });
});

test('a connection that does not answer while a new one does needs no waiting', () => {
  const said = looks(Array.from({ length: 4 }, () => look({}, 0, false)));
  expect(said[0]).toMatchObject({ state: 'unresponsive', act: 'reconnect' });
  expect(said[1]).toMatchObject({ state: 'unresponsive', act: 'wait' });
  expect(said[3]).toMatchObject({ state: 'unrecoverable' });
});
