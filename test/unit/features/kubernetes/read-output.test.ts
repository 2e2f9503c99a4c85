import { describe, expect, test } from 'vitest';
import {
  isRejection,
  isSpent,
  isWaitTimeout,
  namesIn,
  readJob,
  secondsLeft,
  tailOf,
} from '../../../../src/features/kubernetes/read-output.ts';

const CREATED = '2026-01-02T03:04:05Z';
const jobText = (conditions: object[] | undefined, attempt?: string) =>
  JSON.stringify({
    metadata: {
      creationTimestamp: CREATED,
      ...(attempt === undefined ? {} : { annotations: { 'orchestrator/attempt': attempt } }),
    },
    status: conditions === undefined ? {} : { conditions },
  });

describe('a Job as the cluster reports it', () => {
  test('is not there when nothing is written', () => {
    expect(readJob('')).toBeUndefined();
    expect(readJob('\n')).toBeUndefined();
  });

  test('runs until a condition is true', () => {
    expect(readJob(jobText(undefined, '3'))).toEqual({
      ...{ state: 'active', why: '', attempt: 3 },
      createdMs: Date.parse(CREATED),
    });
    const suspended = [
      { type: 'Suspended', status: 'True' },
      { type: 'Complete', status: 'False' },
    ];
    expect(readJob(jobText(suspended))).toMatchObject({ state: 'active', attempt: 0 });
  });

  test('has completed, or failed and why', () => {
    expect(readJob(jobText([{ type: 'Complete', status: 'True' }]))).toMatchObject({ state: 'complete' });
    const failed = { type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded', message: 'too often' };
    expect(readJob(jobText([failed]))).toMatchObject({ state: 'failed', why: 'BackoffLimitExceeded: too often' });
  });

  test('is rejected when it is something else', () => {
    expect(() => readJob('no JSON')).toThrow();
    expect(() => readJob('{"kind":"List"}')).toThrow();
  });
});

const found = (state: 'active' | 'failed' | 'complete', attempt: number) => ({
  ...{ state, attempt, why: '' },
  createdMs: 1_000_000,
});

test('only a Job that failed for an earlier attempt is to be replaced', () => {
  expect(isSpent(found('failed', 1), 2)).toBe(true);
  expect(isSpent(found('failed', 2), 2)).toBe(false);
  expect(isSpent(found('active', 1), 2)).toBe(false);
  expect(isSpent(found('complete', 1), 2)).toBe(false);
});

test.each([
  ['a new Job is waited for in full', undefined, 1_060_000, 300],
  ['whoever takes over waits for the rest', found('active', 2), 1_060_000, 240],
  ['after the time is over it looks once more', found('active', 2), 9_000_000, 1],
  ['a clock behind that of the cluster makes it no longer', found('active', 2), 900_000, 300],
  ['the next attempt waits in full', found('active', 1), 1_060_000, 300],
])('%s', (_, job, nowMs, seconds) => {
  expect(secondsLeft(job, { attempt: 2, nowMs, seconds: 300 })).toBe(seconds);
});

test('names are read without their kinds', () => {
  expect(namesIn('job.batch/a\njob.batch/b-1\n\n')).toEqual(['a', 'b-1']);
  expect(namesIn('No resources found in x namespace.\n')).toEqual([]);
});

test.each([
  ['Error from server (Forbidden): error when creating "STDIN": jobs.batch is forbidden', true],
  ['The request is invalid: no matches for kind "PodGroup" in version "scheduling.volcano.sh/v1beta1"', true],
  ['Error from server (InternalError): an error on the server', false],
  ['Error from server (Timeout): the server was unable to return a response', false],
  ['The connection to the server 10.0.0.1:6443 was refused', false],
])('%s is a rejection: %s', (stderr, is) => {
  expect(isRejection(stderr)).toBe(is);
});

test('the end of a wait is known by its words', () => {
  expect(isWaitTimeout('error: timed out waiting for the condition on jobs/a')).toBe(true);
  expect(isWaitTimeout('Unable to connect to the server: net/http: TLS handshake timeout')).toBe(false);
});

describe('the end of what was written', () => {
  test('is all of it where it fits, without what cannot be shown', () => {
    expect(tailOf(Buffer.from('a\u001b[31mb\u0000c\r\n\td\n'), 100)).toBe('a[31mbc\n\td\n');
  });

  test('begins with a whole line where something is left out', () => {
    expect(tailOf(Buffer.from('secret-value\nnext\nlast\n'), 15)).toBe('next\nlast\n');
    // Or without so much of a line that goes on and on.
    expect(tailOf(Buffer.from('x'.repeat(5_000)), 4_000)).toBe('x'.repeat(4_000 - 1_024));
  });
});
