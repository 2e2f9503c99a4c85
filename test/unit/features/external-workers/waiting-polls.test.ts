/** Long polls: which probes when, and what ends the wait. */
import { afterEach, expect, test } from 'vitest';
import { createWaitingPolls, type WaitingPolls } from '../../../../src/features/external-workers/waiting-polls.ts';

const opened: WaitingPolls[] = [];
afterEach(() => {
  for (const polls of opened.splice(0)) polls.close();
});
function open(options: Parameters<typeof createWaitingPolls>[0] = { pollEveryMs: 1_000_000 }): WaitingPolls {
  const polls = createWaitingPolls(options);
  opened.push(polls);
  return polls;
}

/** Things to find, and how often each poll has probed for them. */
function place() {
  const things: string[] = [];
  const looks = new Map<string, number>();
  const look = (name: string) => async () => {
    looks.set(name, (looks.get(name) ?? 0) + 1);
    return things.splice(0, 1);
  };
  return { things, looks, look };
}
const never = new AbortController().signal;
const forLong = { milliseconds: 1_000_000, signal: never };
const settle = () => new Promise((resolve) => setImmediate(resolve));

test('what is there is found at once, also without waiting', async () => {
  const { things, look } = place();
  things.push('a', 'b');
  const polls = open();
  expect(await polls.until('k', look('one'), { milliseconds: 0, signal: never })).toEqual(['a']);
  expect(await polls.until('k', look('one'), forLong)).toEqual(['b']);
  expect(await polls.until('k', look('one'), { milliseconds: 0, signal: never })).toEqual([]);
});

test('a notice pokes the poll that has waited longest, of its own key only; what it finds pokes the next', async () => {
  const { things, looks, look } = place();
  const polls = open();
  const first = polls.until('k', look('first'), forLong);
  const second = polls.until('k', look('second'), forLong);
  const third = polls.until('k', look('third'), forLong);
  void polls.until('other', look('other'), forLong);
  await settle();
  things.push('a', 'b');
  polls.notice('k');
  expect(await first).toEqual(['a']);
  expect(await second).toEqual(['b']);
  await settle();
  // The third probed because the second had found something, and found nothing.
  expect(Object.fromEntries(looks)).toEqual({ first: 2, second: 2, third: 2, other: 1 });
  things.push('c');
  polls.noticeAll();
  expect(await third).toEqual(['c']);
});

test('a notice that comes while a poll probes makes it probe again', async () => {
  const polls = open();
  let answer: (found: string[]) => void = () => undefined;
  let looks = 0;
  const look = () => {
    looks += 1;
    return looks === 1
      ? new Promise<string[]>((resolve) => {
          answer = resolve;
        })
      : Promise.resolve(['late']);
  };
  const poll = polls.until('k', look, forLong);
  polls.notice('k');
  answer([]);
  expect(await poll).toEqual(['late']);
});

test('without a notice it probes at an interval', async () => {
  const { things, look } = place();
  const polls = open({ pollEveryMs: 5 });
  const poll = polls.until('k', look('one'), forLong);
  await settle();
  things.push('a');
  expect(await poll).toEqual(['a']);
});

test('a poll ends empty when its time is over, its client goes, or the process stops; its poke goes to the next', async () => {
  const { things, look } = place();
  const polls = open();
  expect(await polls.until('k', look('late'), { milliseconds: 5, signal: never })).toEqual([]);
  const client = new AbortController();
  const leaver = polls.until('k', look('leaver'), { ...forLong, signal: client.signal });
  const stayer = polls.until('k', look('stayer'), forLong);
  await settle();
  things.push('a');
  polls.notice('k');
  client.abort();
  expect(await leaver).toEqual([]);
  expect(await stayer).toEqual(['a']);
  const last = polls.until('k', look('last'), forLong);
  await settle();
  polls.close();
  expect(await last).toEqual([]);
  expect(await polls.until('k', look('after'), forLong)).toEqual([]);
});

test('more than may wait are rejected, unless there is something for them', async () => {
  const { things, look } = place();
  const polls = open({ maxWaiting: 1, pollEveryMs: 1_000_000 });
  void polls.until('k', look('one'), forLong);
  await settle();
  await expect(polls.until('k', look('two'), forLong)).rejects.toMatchObject({ code: 'overloaded' });
  things.push('a');
  expect(await polls.until('k', look('two'), forLong)).toEqual(['a']);
});

test('a probe that fails ends its poll alone', async () => {
  const { things, look } = place();
  const polls = open();
  const failing = polls.until('k', () => Promise.reject(new Error('no database')), forLong);
  await expect(failing).rejects.toThrow('no database');
  things.push('a');
  expect(await polls.until('k', look('one'), forLong)).toEqual(['a']);
});
