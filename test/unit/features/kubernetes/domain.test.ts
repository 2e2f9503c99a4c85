import { describe, expect, test } from 'vitest';
import {
  type JobDefaults,
  type JobOrigin,
  jobName,
  manifestOf,
  selectorOf,
} from '../../../../src/features/kubernetes/domain.ts';
import { type JobRequest, jobRequest } from '../../../../src/features/kubernetes/schemas.ts';

const DIGEST = '0123456789abcdef0123456789abcdef';
const DEFAULTS: JobDefaults = {
  ...{ namespace: 'jobs', queue: 'interactive', image: 'python:3.11-slim' },
  ...{ cpu: '500m', memory: '512Mi', timeoutSeconds: 300 },
};
const ORIGIN: JobOrigin = { installation: 'here', tenantId: 'acme', runId: 'run-1', actionId: 'report', attempt: 2 };

function itemsOf(request: JobRequest) {
  const { items } = manifestOf({ namespace: 'jobs', name: 'job-1' }, request, DEFAULTS, ORIGIN);
  return items as [object, object]; // A List has items.
}

describe('the name of a Job', () => {
  test.each([
    [undefined, 'job-0123456789ab'],
    ['Nightly Report', 'nightly-report-0123456789ab'],
    ['session-Sess_001', 'session-sess-001-0123456789ab'],
    ['..ends with dots..', 'ends-with-dots-0123456789ab'],
    ['報告', 'job-0123456789ab'],
    ['x'.repeat(200), `${'x'.repeat(50)}-0123456789ab`],
    [`${'x'.repeat(49)}-yyy`, `${'x'.repeat(49)}-0123456789ab`],
  ])('%s becomes %s', (wanted, name) => {
    expect(jobName(wanted, DIGEST)).toBe(name);
    expect(name.length).toBeLessThanOrEqual(63);
  });
});

describe('the manifest', () => {
  test('has the defaults where the action says nothing', () => {
    const [group, job] = itemsOf({});
    expect(group).toMatchObject({
      kind: 'PodGroup',
      spec: { minMember: 1, minResources: { cpu: '500m', memory: '512Mi' }, queue: 'interactive' },
    });
    expect(job).toMatchObject({
      metadata: { annotations: { 'orchestrator/attempt': '2', 'orchestrator/execution': 'run-1' } },
      spec: {
        ...{ parallelism: 1, completions: 1, backoffLimit: 0, ttlSecondsAfterFinished: 3600 },
        template: { spec: { containers: [{ image: 'python:3.11-slim' }] } },
      },
    });
    // The program of the image.
    expect(JSON.stringify(job)).not.toContain('"command"');
  });

  test.each([
    [{ min_member: 1, parallelism: 3 }, 3],
    [{ min_member: 5, parallelism: 3 }, 5],
    [{ parallelism: 4 }, 4],
  ])('%o takes a group of %i', (request, minMember) => {
    expect(itemsOf(request)[0]).toMatchObject({ spec: { minMember } });
  });

  test('as many pods have to succeed as run at a time, unless the action says', () => {
    expect(itemsOf({ parallelism: 3 })[1]).toMatchObject({ spec: { parallelism: 3, completions: 3 } });
    expect(itemsOf({ parallelism: 3, completions: 9 })[1]).toMatchObject({ spec: { completions: 9 } });
  });

  test('a Job that has ended stays long enough for a worker that takes over', () => {
    expect(itemsOf({ ttl_seconds_after_finished: 0 })[1]).toMatchObject({ spec: { ttlSecondsAfterFinished: 300 } });
  });

  test('is found by the selector of its installation alone', () => {
    const [group, job] = itemsOf({});
    const labels = Object.fromEntries(
      selectorOf('here')
        .split(',')
        .map((one) => one.split('=')),
    );
    for (const item of [group, job]) expect(item).toMatchObject({ metadata: { labels } });
    expect(selectorOf('there')).not.toBe(selectorOf('here'));
  });
});

describe('what an action may say', () => {
  test.each([
    ['job_name', ['Report 1', 'ü', 'x'.repeat(255)], ['', '-n', 'x'.repeat(256), 'a\nb']],
    ['namespace', ['team-a', '1'], ['', '-a', 'a-', 'A', 'a.b', 'x'.repeat(64)]],
    ['queue', ['batch', 'a.b-c'], ['', '-q', 'Q', 'a..b', '.a']],
    [
      'image',
      ['python', 'python:3.11-slim', 'r.test:5000/a/b_c:1', `a@sha256:${'0'.repeat(64)}`, 'ghcr.io/org/app'],
      ['', '-i', ' python', 'python:', 'a b', 'a;b', '--image=x', 'a/-b', `a@sha256:${'0'.repeat(63)}`],
    ],
    ['cpu', ['1', '500m', '0.5', '2.25'], ['', '0', '-1', '0m', '1 m', 'one', '+1', '1e3', '1.']],
    ['memory', ['512Mi', '1G', '1024'], ['0Mi', '-5Mi', '1MB', '1 Gi', 'Mi']],
    ['command', [['python', '-V'], ['']], ['python -V', [], [1], ['a\0b']]],
    ['env', [{ A: 'b', _c: 1, D: true }, {}], [{ '1A': 'b' }, { 'A-B': 'c' }, { A: null }, { A: 'b\0' }, ['A=b']]],
    ['min_member', [1, 10_000], [0, 1.5, -1, '1', 10_001]],
    ['wait', [true, false], ['true', 0]],
    ['timeout_seconds', [1, 604_800], [0, 1.5, 604_801]],
    ['ttl_seconds_after_finished', [0, 900], [-1, 604_801]],
  ] as [string, unknown[], unknown[]][])('%s', (field, good, bad) => {
    for (const value of good)
      expect(jobRequest.safeParse({ [field]: value }).success, JSON.stringify(value)).toBe(true);
    for (const value of bad)
      expect(jobRequest.safeParse({ [field]: value }).success, JSON.stringify(value)).toBe(false);
  });

  test('leaves out what is null, as a template of a parameter that was not given is', () => {
    const fields = Object.keys(jobRequest.shape);
    const nothing = jobRequest.parse(Object.fromEntries(fields.map((field) => [field, null])));
    expect(itemsOf(nothing)).toEqual(itemsOf({}));
  });

  test('has no field for what only an administrator decides', () => {
    for (const field of ['service_account', 'host_network', 'volumes', 'privileged', 'run_as_user']) {
      expect(jobRequest.safeParse({ [field]: 'x' }).success, field).toBe(false);
    }
  });
});
