import { expect, test } from 'vitest';
import { taskJobId } from '../../src/domain/compile.ts';
import { createWakeEnded } from '../../src/engine/wake-ended.ts';

function sleepersOf(lanes: Record<string, string[]>) {
  const sleeping = new Map(
    Object.entries(lanes).map(([lane, runs]) => [lane, runs.map((run, n) => taskJobId(run, 1, `a.${n}`))]),
  );
  return {
    left: () => Object.fromEntries([...sleeping].map(([lane, ids]) => [lane, ids.length])),
    queue: {
      delayedPage: async (lane: string, offset: number, limit: number) =>
        (sleeping.get(lane) ?? []).slice(offset, offset + limit),
      promote: async (jobs: ReadonlyArray<{ queue: string; jobId: string }>) => {
        for (const { queue, jobId } of jobs) sleeping.get(queue)?.splice(sleeping.get(queue)?.indexOf(jobId) ?? 0, 1);
      },
    },
  };
}
const ended = (...final: string[]) => ({ ended: async () => new Set(final) });

test('what sleeps for a run that has ended is made due, in every lane, and what sleeps for a live one is left alone', async () => {
  const { queue, left } = sleepersOf({ wait: ['a', 'b.1', 'c'], test_task: ['a'], transform: [] });
  const wake = createWakeEnded({ queue, runs: ended('a', 'b.1') }, ['wait', 'test_task', 'transform']);
  expect(await wake()).toBe(3);
  expect(left()).toEqual({ wait: 1, test_task: 0, transform: 0 });
});

test('call after call everything that sleeps is looked at, also behind what sleeps for long', async () => {
  const live = (count: number) => Array.from({ length: count }, () => 'live');
  const { queue, left } = sleepersOf({ wait: [...live(450), 'gone', ...live(3), 'gone'] });
  const wake = createWakeEnded({ queue, runs: ended('gone') }, ['wait']);
  expect([await wake(), await wake(), await wake()]).toEqual([0, 0, 2]);
  expect(left()).toEqual({ wait: 453 });
  expect([await wake(), await wake(), await wake()]).toEqual([0, 0, 0]);
});
