import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchResponsiveness } from '../../../../src/compose/worker/responsiveness.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const UNRESPONSIVE_MS = 30_000;

/** A worker with one lane, and its queue, both in the test's hands. */
function begin() {
  const lane = { active: 0, taken: 0, isFetching: true };
  const queue = { waiting: 0, reachable: true, answers: true, hears: true };
  const log = createTestLog();
  const reconnect = vi.fn();
  const broken = vi.fn();
  const asked = vi.fn();
  const responsiveness = watchResponsiveness({
    worker: 'w',
    lanes: () => [
      {
        queue: 'a',
        ready: async () => undefined,
        drain: async () => undefined,
        close: async () => undefined,
        active: () => lane.active,
        hasRoom: () => lane.active < 2,
        taken: () => lane.taken,
        isFetching: () => lane.isFetching,
      },
    ],
    backend: {
      ping: () => (queue.answers ? Promise.resolve(true) : new Promise(() => undefined)),
      isListening: async () => queue.hears,
      async probeWaiting(names) {
        asked(names);
        if (!queue.reachable) throw new Error('the queue did not answer');
        return new Map(names.map((name) => [name, queue.waiting]));
      },
      reconnect,
    },
    unresponsiveMs: UNRESPONSIVE_MS,
    onBroken: broken,
    log,
  });
  const stop = new AbortController();
  const watching = responsiveness.watchUntil(stop.signal);
  const pass = (periods: number) => vi.advanceTimersByTimeAsync(periods * UNRESPONSIVE_MS);
  const events = () => log.lines.map(({ event }) => event);
  const end = () => {
    stop.abort();
    return watching;
  };
  return { lane, queue, responsiveness, reconnect, broken, asked, pass, events, end };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a worker without work is not deaf, and one that is busy asks nothing', async () => {
  const { lane, asked, responsiveness, reconnect, pass, events, end } = begin();
  await pass(5);
  expect([responsiveness.isUnresponsive(), reconnect.mock.calls.length, events()]).toEqual([false, 0, []]);
  lane.active = 2;
  asked.mockClear();
  await pass(5);
  expect(asked).not.toHaveBeenCalled();
  await end();
});

test('one that takes nothing although jobs wait says so, connects anew, and is well when it takes them then', async () => {
  const { lane, queue, responsiveness, reconnect, broken, pass, events, end } = begin();
  queue.waiting = 3;
  await pass(2);
  expect([responsiveness.isUnresponsive(), reconnect.mock.calls.length]).toEqual([true, 1]);
  lane.taken = 3;
  queue.waiting = 0;
  await pass(2);
  expect(responsiveness.isUnresponsive()).toBe(false);
  expect(broken).not.toHaveBeenCalled();
  expect(events()).toEqual(['worker_deaf', 'worker_hears_again']);
  await end();
});

test('one that does not hear after that either asks for a new process', async () => {
  const { queue, reconnect, broken, pass, end } = begin();
  queue.waiting = 1;
  await pass(5);
  expect(reconnect).toHaveBeenCalledTimes(1);
  expect(broken).toHaveBeenCalledWith('jobs wait and none is taken in a');
  await end();
});

test('a connection that is silent while a new one is answered is broken and made anew', async () => {
  const { queue, responsiveness, reconnect, pass, end } = begin();
  queue.answers = false;
  await pass(1.5);
  expect([responsiveness.isUnresponsive(), reconnect.mock.calls.length]).toEqual([true, 1]);
  await pass(0.5);
  expect([responsiveness.isUnresponsive(), reconnect.mock.calls.length]).toEqual([true, 1]);
  queue.answers = true;
  await pass(1);
  expect(responsiveness.isUnresponsive()).toBe(false);
  await end();
});

test('a connection that answers and tells of no new jobs is made anew, although polls take them', async () => {
  const { lane, queue, responsiveness, reconnect, pass, end } = begin();
  queue.hears = false;
  lane.taken = 1;
  await pass(1.5);
  expect([responsiveness.isUnresponsive(), reconnect.mock.calls.length]).toEqual([true, 1]);
  queue.hears = true;
  await pass(1);
  expect(responsiveness.isUnresponsive()).toBe(false);
  await end();
});

test('a connection that stays silent is beyond help', async () => {
  const { queue, reconnect, broken, pass, end } = begin();
  queue.answers = false;
  await pass(4);
  expect(reconnect).toHaveBeenCalledTimes(1);
  expect(broken).toHaveBeenCalled();
  await end();
});

test('a queue that answers nobody makes nobody deaf: it is said once', async () => {
  const { queue, responsiveness, reconnect, broken, pass, events, end } = begin();
  Object.assign(queue, { waiting: 5, reachable: false, answers: false });
  await pass(6);
  expect([responsiveness.isUnresponsive(), reconnect.mock.calls.length, broken.mock.calls.length]).toEqual([
    false,
    0,
    0,
  ]);
  expect(events()).toEqual(['queue_unreachable']);
  await end();
});

test('a deaf worker is not taken to hear again because the queue was out of reach for a look', async () => {
  const { queue, responsiveness, broken, pass, events, end } = begin();
  queue.answers = false;
  await pass(1.5);
  expect(responsiveness.isUnresponsive()).toBe(true);
  queue.reachable = false;
  await pass(0.5);
  queue.reachable = true;
  await pass(3);
  expect(events()).not.toContain('worker_hears_again');
  expect(broken).toHaveBeenCalled();
  await end();
});
