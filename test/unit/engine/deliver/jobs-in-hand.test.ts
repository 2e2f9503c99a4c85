import { expect, test } from 'vitest';
import { createJobsInHand, mayCommit } from '../../../../src/engine/deliver/jobs-in-hand.ts';
import { createTestLog } from '../../../harness/test-log.ts';

function start() {
  let at = 0;
  const log = createTestLog();
  const inHand = createJobsInHand({ lockDurationMs: 10_000, now: () => at, log });
  const watched = (jobId: string) => {
    const hold = inHand.take(jobId);
    const reasons: string[] = [];
    hold.onLost((reason) => reasons.push(reason));
    return { ...hold, reasons };
  };
  return {
    ...inHand,
    log,
    watched,
    pass(milliseconds: number) {
      at += milliseconds;
    },
  };
}

test('only a success may be committed by who does not know whether the job is still its own', () => {
  const no = { isTrusted: () => false };
  const yes = { isTrusted: () => true };
  for (const status of ['failed', 'retrying', 'waiting', 'cancelled', 'skipped', 'upstream_failed'] as const) {
    expect(mayCommit(status, no)).toBe(false);
    expect(mayCommit(status, yes)).toBe(true);
  }
  expect(mayCommit('completed', no)).toBe(true);
});

test('a process that shows itself often enough keeps its jobs for as long as it likes', () => {
  const worker = start();
  const job = worker.watched('a');
  for (let n = 0; n < 100; n += 1) {
    worker.pass(7_999);
    worker.pulse();
  }
  expect(job.isTrusted()).toBe(true);
  expect(job.reasons).toEqual([]);
});

test('one that stood still for most of a lock distrusts what it had, and nothing that it takes afterwards', () => {
  const worker = start();
  const before = worker.watched('a');
  worker.pass(8_001);
  worker.pulse();
  const after = worker.watched('b');
  expect([before.isTrusted(), after.isTrusted()]).toEqual([false, true]);
  expect(before.reasons).toEqual(['this process stood still for 8001 ms']);
  expect(after.reasons).toEqual([]);
  worker.pulse();
  expect(before.reasons).toHaveLength(1);
  expect(worker.log.lines).toMatchObject([{ event: 'jobs_distrusted', fields: { jobs: ['a'] } }]);
});

test('a pause is noticed by whoever asks first: an outcome, or the next job, may come before the pulse', () => {
  const worker = start();
  const asked = worker.watched('a');
  worker.pass(20_000);
  expect(asked.isTrusted()).toBe(false);
  worker.pulse();
  const held = worker.watched('b');
  worker.pass(20_000);
  const taken = worker.watched('c');
  expect([held.reasons.length, taken.isTrusted()]).toEqual([1, true]);
});

test('a lock that was not renewed costs its own job only, and jobs that have ended nothing', () => {
  const worker = start();
  const [a, b] = [worker.watched('a'), worker.watched('b')];
  worker.locksLost(['a', 'ended long ago']);
  expect([a.isTrusted(), b.isTrusted()]).toEqual([false, true]);
  expect(a.reasons).toEqual(['its lock was not renewed']);
  b.release();
  worker.locksLost(['b']);
  expect(b.reasons).toEqual([]);
  expect(worker.ids()).toEqual(['a']);
});

test('another queue server: what runs may go on, and only its success counts', () => {
  const worker = start();
  const job = worker.watched('a');
  worker.queueChanged();
  expect(job.isTrusted()).toBe(false);
  expect(job.reasons).toEqual([]);
  expect(worker.watched('b').isTrusted()).toBe(true);
});

test('of two deliveries of one job the older one is not ours any more, and its end does not hide the newer one', () => {
  const worker = start();
  const older = worker.watched('a');
  const newer = worker.watched('a');
  older.release();
  expect([older.isTrusted(), newer.isTrusted()]).toEqual([false, true]);
  expect(worker.ids()).toEqual(['a']);
  newer.release();
  expect(worker.ids()).toEqual([]);
});

test('who starts to listen when the trust is lost already hears it at once', () => {
  const worker = start();
  const hold = worker.take('a');
  worker.locksLost(['a']);
  const reasons: string[] = [];
  hold.onLost((reason) => reasons.push(reason));
  expect(reasons).toHaveLength(1);
});
