/** In which shard of the queue a run lives. */
import { expect, test } from 'vitest';
import { finalizerJobId, gateJobId, taskJobId } from '../../../../src/domain/graph/compile.ts';
import { shardOf, shardOfJob } from '../../../../src/domain/graph/shard.ts';

const ids = (count: number) =>
  Array.from({ length: count }, (_, n) => `019ac0de-${n.toString(16).padStart(4, '0')}-7000-8000-00000000abcd`);

test('the shard of an id is the same in every release: what is in the queue is looked for there', () => {
  const ofThree = ['', 'a', 'run-1', '019ac0de-0000-7000-8000-00000000abcd', 'läuft'].map((id) => shardOf(id, 3));
  expect(ofThree).toEqual(GOLDEN);
});
const GOLDEN = [2, 0, 2, 2, 0];

test('one shard has all runs', () => {
  expect(new Set(ids(100).map((id) => shardOf(id, 1)))).toEqual(new Set([0]));
});

test.each([2, 3, 5, 8, 64])(
  '%i shards get about as many runs each, also of ids that differ in a few characters only',
  (shards) => {
    const counts = new Array<number>(shards).fill(0);
    const runs = 1_000 * shards;
    for (const id of ids(runs)) counts[shardOf(id, shards)] = (counts[shardOf(id, shards)] ?? 0) + 1;
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1_150);
  },
);

test('all jobs of a run are in its shard: tasks, items, gates and the finalizer, of every epoch and whatever the ids are', () => {
  for (const runId of [...ids(20), 'with.dots', 'with~tilde', 'mit/ä']) {
    const jobs = [
      taskJobId(runId, 1, 'a'),
      taskJobId(runId, 7, 'each[3]'),
      gateJobId(runId, 1, 'a', 'b'),
      finalizerJobId(runId, 2),
    ];
    for (const job of jobs) expect(shardOfJob(job, 5)).toBe(shardOf(runId, 5));
  }
});
