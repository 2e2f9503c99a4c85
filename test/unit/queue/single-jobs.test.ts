import { expect, test } from 'vitest';
import type { LaneQueue } from '../../../src/queue/backend.ts';
import { createSingleJobs, type SingleJob } from '../../../src/queue/single-jobs.ts';

/** Notes the ids of each go. */
function fakeQueue(fail?: (ids: readonly string[]) => boolean) {
  const goes: string[][] = [];
  const queue: Pick<LaneQueue, 'addBulk'> = {
    addBulk: async (jobs) => {
      const ids = jobs.map(({ opts }) => opts?.jobId ?? '');
      goes.push(ids);
      if (fail?.(ids) === true) throw new Error('no room');
      return [];
    },
  };
  return { goes, add: createSingleJobs(() => queue as LaneQueue) }; // Nothing else of it is used.
}

function jobs(count: number, prefix: string): SingleJob[] {
  return Array.from({ length: count }, (_, index) => ({
    name: 'a',
    data: { v: 1, run_id: 'r', epoch: 1, gen: 0, action_id: 'a', of: { workflow_id: 'w', version: 1 } },
    opts: { jobId: `${prefix}${index}` },
  }));
}

test('those who add in one tick add together', async () => {
  const { goes, add } = fakeQueue();
  await Promise.all([add('lane', jobs(2, 'x')), add('lane', jobs(1, 'y'))]);
  expect(goes).toEqual([['x0', 'x1', 'y0']]);
});

test('very many go in pages, and a single one that comes later does not wait for all of them', async () => {
  const { goes, add } = fakeQueue();
  const many = add('lane', jobs(1_000, 'many'));
  await new Promise((resolve) => setImmediate(resolve));
  await add('lane', jobs(1, 'late'));
  const before = goes.findIndex(([first]) => first === 'late0');
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(goes.length);
  await many;
  expect(goes.filter(([first]) => first !== 'late0').map(({ length }) => length)).toEqual(Array(20).fill(50));
  expect(goes.flat()).toHaveLength(1_001);
});

test('all who took part get the error of a page that could not be added', async () => {
  const { goes, add } = fakeQueue((ids) => ids.includes('many60'));
  const answers = await Promise.allSettled([add('lane', jobs(120, 'many')), add('lane', jobs(1, 'other'))]);
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(goes).toHaveLength(2);
});
