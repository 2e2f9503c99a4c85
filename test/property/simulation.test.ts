import { describe, expect, test } from 'vitest';
import { firstRed, type Played } from '../harness/simulation/play.ts';
import { searchAll } from '../harness/simulation/search.ts';
import { A_DIAMOND, A_GATE, SHAPES } from '../harness/simulation/shapes.ts';

/** `npm run simulate` plays many more. */
const SEEDS = 2_500;

const told = (red: (Played & { seed: number }) | undefined) =>
  red && `seed ${red.seed}: ${red.wrong}\n${red.story.join('\n')}`;

test('whatever is chosen, everything ends, each task once and in order, and nothing is left', async () => {
  expect(told(await firstRed(1, SEEDS))).toBeUndefined();
});

test.each([
  [4758, 'an action settled by hand is delivered before what it waits for has ended, because its job was given up'],
])('seed %i, which was red once, is not any more: %s', async (seed) => {
  expect(told(await firstRed(seed, 1))).toBeUndefined();
});

describe('in every order of events that two workers can make', () => {
  test.each(SHAPES.map((shape) => ({ name: shape.name, shape })))('$name ends well', async ({ shape }) => {
    const { wrong, story, states, ends } = await searchAll({ shape, disturbances: 0 });
    expect(wrong, story.join('\n')).toBeUndefined();
    // A search that finds nothing to do finds nothing wrong.
    expect(states).toBeGreaterThan(shape.plan.actions.length * 2);
    expect(ends).toBeGreaterThan(0);
  });

  test('a diamond ends well when one thing goes wrong at any moment', async () => {
    const { wrong, story, states, schedules } = await searchAll({ shape: A_DIAMOND, disturbances: 1 });
    expect(wrong, `after ${schedules} schedules through ${states} states:\n${story.join('\n')}`).toBeUndefined();
    expect(states, `${schedules} schedules`).toBeGreaterThan(1_000);
  });
});

describe('it would be noticed if', () => {
  test.each([
    ['the token did not count', { rules: { token: false } }, /^I2: an outcome of an old holder/, {}],
    ['a task could end twice', { rules: { oneOutcome: false } }, /^I2/, {}],
    ['there were no fence at all', { rules: { token: false, oneOutcome: false } }, /^I2/, {}],
    ['an abnormal end left tasks open', { rules: { tombstones: false } }, /^I4/, {}],
    ['what is committed were not looked up', { blindLookUp: true }, /^I/, {}],
    ['gates were not removed', { keepGates: true }, /^I[15]/, { shape: A_GATE }],
    ['nobody added again what the queue has lost', { noSweep: true }, /^I1/, {}],
    ['an add again did not read again', { noSecondReading: true }, /^I5/, { shape: A_GATE, onlyLosses: true }],
  ])('%s', async (_, sabotage, named, options) => {
    const red = await firstRed(1, 2_000, { sabotage, ...options });
    expect(red?.wrong).toMatch(named);
  });
});
