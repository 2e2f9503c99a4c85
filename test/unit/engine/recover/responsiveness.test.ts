import { describe, expect, test } from 'vitest';
import { createResponsiveness, type LaneState, type Probe } from '../../../../src/engine/recover/responsiveness.ts';

const lane = (more: Partial<LaneState> = {}): LaneState => ({
  queue: 'a',
  isFetching: true,
  hasRoom: true,
  taken: 0,
  ...more,
});
const probeOf = (more: Partial<LaneState> = {}, waiting = 1, answers = true): Probe => ({
  lanes: [lane(more)],
  waiting: new Map([['a', waiting]]),
  answers,
});
const start = () => createResponsiveness({ unresponsiveMs: 30_000, maxGapMs: 25_000 });
const responsive = { state: 'responsive' };

/** What each probe says, ten seconds apart. */
function verdicts(every: readonly Probe[]) {
  const responsiveness = start();
  return every.map((each, n) => responsiveness.probe(each, n * 10_000));
}

describe('a worker is responsive', () => {
  test.each([
    ['while it takes jobs, however many wait', [0, 1, 2, 3, 4, 5].map((taken) => probeOf({ taken }, 1_000))],
    ['while nothing waits', Array.from({ length: 6 }, () => probeOf({}, 0))],
    ['while it has no room for what waits', Array.from({ length: 6 }, () => probeOf({ hasRoom: false }, 1_000))],
    [
      'when a wait is over before it is long',
      [probeOf(), probeOf(), probeOf(), probeOf({}, 0), probeOf(), probeOf(), probeOf()],
    ],
  ])('%s', (_, every) => {
    for (const said of verdicts(every)) expect(said).toEqual(responsive);
  });

  test('when it is this process that stood still between two probes', () => {
    const responsiveness = start();
    expect(responsiveness.probe(probeOf(), 0)).toEqual(responsive);
    expect(responsiveness.probe(probeOf(), 40_000)).toEqual(responsive);
    expect(responsiveness.probe(probeOf(), 60_000)).toEqual(responsive);
  });

  test('when nothing could be said for a while', () => {
    const responsiveness = start();
    responsiveness.probe(probeOf(), 0);
    responsiveness.probe(probeOf(), 20_000);
    responsiveness.forget();
    expect(responsiveness.probe(probeOf(), 40_000)).toEqual(responsive);
  });
});

test('jobs that wait for long, with room for them, make it unresponsive: it reconnects once, and then is unrecoverable', () => {
  const said = verdicts(Array.from({ length: 7 }, () => probeOf()));
  expect(said.slice(0, 3)).toEqual([responsive, responsive, responsive]);
  expect(said[3]).toEqual({ state: 'unresponsive', reason: 'jobs wait and none is taken in a', act: 'reconnect' });
  expect(said.slice(4, 6)).toMatchObject([
    { state: 'unresponsive', act: 'wait' },
    { state: 'unresponsive', act: 'wait' },
  ]);
  expect(said[6]).toMatchObject({ state: 'unrecoverable' });
});

test('one that takes jobs again after the reconnect has all of its chances again', () => {
  const unresponsive = Array.from({ length: 4 }, () => probeOf());
  const said = verdicts([
    ...unresponsive,
    probeOf({ taken: 1 }),
    ...Array.from({ length: 4 }, () => probeOf({ taken: 1 })),
  ]);
  expect(said[3]).toMatchObject({ act: 'reconnect' });
  expect(said[4]).toEqual(responsive);
  expect(said.at(-1)).toMatchObject({ act: 'reconnect' });
});

test('a loop that has ended is unresponsive whether anything waits or not', () => {
  expect(verdicts(Array.from({ length: 4 }, () => probeOf({ isFetching: false }, 0))).at(-1)).toMatchObject({
    state: 'unresponsive',
  });
});

test('a connection that does not answer while a new one does needs no waiting', () => {
  const said = verdicts(Array.from({ length: 4 }, () => probeOf({}, 0, false)));
  expect(said[0]).toMatchObject({ state: 'unresponsive', act: 'reconnect' });
  expect(said[1]).toMatchObject({ state: 'unresponsive', act: 'wait' });
  expect(said[3]).toMatchObject({ state: 'unrecoverable' });
});
