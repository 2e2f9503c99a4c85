import { afterEach, describe, expect, test } from 'vitest';
import { FROM_THE_START } from '../../../../src/domain/runs/run-events.ts';
import { createRunFollower, type RunFollower } from '../../../../src/engine/follow/follow-run.ts';
import { until } from '../../../harness/until.ts';
import { type FakeRunEvents, fakeRunEvents } from '../../../support/fake-run-events.ts';

const followers: RunFollower[] = [];
afterEach(() => {
  for (const follower of followers.splice(0)) follower.close();
});

function follower(events: FakeRunEvents, options: { maxReaders?: number } = {}): RunFollower {
  const made = createRunFollower(events, { pollMs: 1, ...options });
  followers.push(made);
  return made;
}

/** Follows a run and collects what comes. */
function read(from: RunFollower, runId: string, after = FROM_THE_START, tenantId = 'default') {
  const leaving = new AbortController();
  const got: string[] = [];
  let begun = false;
  const end = from.follow({
    tenantId,
    runId,
    after,
    signal: leaving.signal,
    start: () => {
      begun = true;
    },
    take: (events) => {
      got.push(...events.map(({ id, kind }) => `${id} ${kind}`));
      return Promise.resolve(true);
    },
  });
  return { got, end, started: () => begun, leave: () => leaving.abort() };
}

describe('a reader', () => {
  test('gets what is there and what comes, and then the end', async () => {
    const events = fakeRunEvents('r');
    const { got, end } = read(follower(events), 'r');
    events.add('r', 'task.completed');
    await until(() => got.length === 2);
    events.add('r', 'task.completed');
    await until(() => got.length === 3);
    events.end('r', 'run.completed');
    expect(await end).toBe('ended');
    expect(got).toEqual(['0 run.started', '1 task.completed', '2 task.completed', '3 run.completed']);
  });

  test('gets many events page by page, none twice', async () => {
    const events = fakeRunEvents('r');
    for (let count = 0; count < 999; count += 1) events.add('r', 'task.completed');
    events.end('r', 'run.completed');
    const { got, end } = read(follower(events), 'r');
    expect(await end).toBe('ended');
    expect(got.map((one) => Number(one.split(' ')[0]))).toEqual(Array.from({ length: 1001 }, (_, id) => id));
    expect(events.pages.length).toBeGreaterThan(3);
  });

  test('goes on after its position; one that had everything of a run that has ended gets nothing', async () => {
    const events = fakeRunEvents('r');
    events.add('r', 'task.completed');
    events.end('r', 'run.completed');
    const from = follower(events);
    const second = read(from, 'r', 1);
    expect(await second.end).toBe('ended');
    expect(second.got).toEqual(['2 run.completed']);
    const third = read(from, 'r', 2);
    expect(await third.end).toBe('nothing');
    expect(third.started()).toBe(false);
  });

  test('that comes back after a retry reads the new epoch', async () => {
    const events = fakeRunEvents('r');
    events.end('r', 'run.failed');
    events.runs.set('r', { tenantId: 'default', final: false, startedAt: null, last: 1, reports: 0 });
    events.add('r', 'run.retried', { epoch: 2 });
    const { got, end } = read(follower(events), 'r', 1);
    await until(() => got.length === 1);
    events.end('r', 'run.completed');
    expect(await end).toBe('ended');
    expect(got).toEqual(['2 run.retried', '3 run.completed']);
  });

  test('of a run that is unknown, or of another tenant, gets that answer', async () => {
    const from = follower(fakeRunEvents('r'));
    expect(await read(from, 'other').end).toBe('unknown');
    expect(await read(from, 'r', FROM_THE_START, 'another').end).toBe('unknown');
    expect(await from.page('another', { runId: 'r', after: -1, limit: 1 })).toBeUndefined();
  });

  test('with an id that is not of the run is rejected', async () => {
    const from = follower(fakeRunEvents('r'));
    await expect(read(from, 'r', 5).end).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(from.page('default', { runId: 'r', after: 5, limit: 1 })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  test('is released when it leaves, when the process stops, and when its run is removed', async () => {
    const events = fakeRunEvents('a', 'b', 'c');
    const from = follower(events);
    const [a, b, c] = [read(from, 'a'), read(from, 'b'), read(from, 'c')];
    await until(() => a.started() && b.started() && c.started());
    a.leave();
    expect(await a.end).toBe('left');
    events.runs.delete('b');
    expect(await b.end).toBe('left');
    from.close();
    expect(await c.end).toBe('left');
  });

  test('outlives a database that is away', async () => {
    const events = fakeRunEvents('r');
    const { got, end, started } = read(follower(events), 'r');
    await until(started);
    events.away = true;
    const seen = events.looks.length;
    await until(() => events.looks.length > seen + 2);
    events.away = false;
    events.end('r', 'run.completed');
    expect(await end).toBe('ended');
    expect(got).toEqual(['0 run.started', '1 run.completed']);
  });
});

test('all readers share one poll of their runs, and nobody polls when nobody waits', async () => {
  const events = fakeRunEvents('a', 'b');
  const from = follower(events);
  const readers = [read(from, 'a'), read(from, 'a'), read(from, 'b'), read(from, 'b')];
  await until(() => readers.every(({ started: begun }) => begun()));
  const first = events.looks.length;
  await until(() => events.looks.length > first + 3);
  for (const poll of events.looks.slice(first + 1)) expect(poll.sort()).toEqual(['a', 'b']);
  events.end('a', 'run.completed');
  events.end('b', 'run.completed');
  await Promise.all(readers.map(({ end }) => end));
  const after = events.looks.length;
  from.pollNow();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(events.looks.length).toBe(after);
});

test('there are only so many readers at a time; one that leaves makes room', async () => {
  const events = fakeRunEvents('r');
  const from = follower(events, { maxReaders: 1 });
  const first = read(from, 'r');
  await expect(read(from, 'r').end).rejects.toMatchObject({ code: 'overloaded', status: 503 });
  first.leave();
  await first.end;
  const second = read(from, 'r');
  events.end('r', 'run.completed');
  expect(await second.end).toBe('ended');
});

test('the news that a run has ended comes before the next poll is due', async () => {
  const events = fakeRunEvents('r', 's');
  const made = createRunFollower(events, { pollMs: 3_600_000 });
  followers.push(made);
  const { end, started: begun } = read(made, 'r');
  await until(begun);
  events.end('r', 'run.completed');
  made.notice('other');
  made.notice('other,r');
  expect(await end).toBe('ended');
});
