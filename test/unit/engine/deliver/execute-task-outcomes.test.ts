import { describe, expect, test, vi } from 'vitest';
import type { Edges } from '../../../harness/dags.ts';
import { failure, NOW, output, startedEngine, tries } from '../../../harness/fakes/engine.ts';

const CHAIN: Edges = { a: [], b: ['a'] };

describe('tries', () => {
  test('a retry and then a success are two attempts of one task', async () => {
    const engine = await startedEngine({ a: [] }, () => tries(3));
    engine.behaviours.set('a', ({ attempt }) => (attempt === 1 ? failure('not yet') : output('now')));
    expect(await engine.deliver('a')).toEqual({ job: 'retry', message: 'network_error: not yet', delayMs: 3_000 });
    expect(engine.row('a')).toMatchObject({ status: 'retrying', final: false, endedAttempt: 1 });
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 2, fence: 1 });
    expect(engine.store.truth.attempts.map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, 'failed'],
      [2, 'completed'],
    ]);
  });

  test('a job that loses its lock as it is put back for a retry waits for the rest of its backoff', async () => {
    const engine = await startedEngine({ a: [] }, () => tries(3));
    engine.behaviours.set('a', ({ attempt }) => (attempt === 1 ? failure('not yet') : output('now')));
    await engine.deliverByHand('a');
    const early = await engine.deliverByHand('a', { stalledCounter: 1, attemptsStarted: 2 });
    expect(early).toMatchObject({ job: 'delay', untilMs: NOW + 3_000 });
    expect(engine.calls).toHaveLength(1);
    vi.spyOn(engine.deps, 'now').mockReturnValue(NOW + 3_000);
    expect(await engine.deliverByHand('a', { stalledCounter: 1, attemptsStarted: 3 })).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 2 });
  });

  test('the last failure is final, and what follows ends as upstream_failed without being executed', async () => {
    const engine = await startedEngine(CHAIN, () => tries(2));
    engine.behaviours.set('a', () => failure('never'));
    await engine.deliver('a');
    expect(await engine.deliver('a')).toEqual({ job: 'fail', message: 'network_error: never' });
    await engine.drain();
    expect(engine.row('a')).toMatchObject({ status: 'failed', attempt: 2 });
    expect(engine.errorOf('a')).toEqual({ code: 'network_error', message: 'never', action_id: 'a', attempt: 2 });
    expect(engine.row('b')).toMatchObject({ status: 'upstream_failed', final: true });
    expect(engine.run()).toMatchObject({ status: 'failed', error: engine.row('a')?.error });
    expect(engine.queue.open()).toEqual([]);
  });

  test('a failure that cannot be helped is not tried again', async () => {
    const engine = await startedEngine({ a: [] });
    engine.behaviours.set('a', () => failure('bad input', false, 'input_invalid'));
    expect(await engine.deliver('a')).toEqual({ job: 'fail', message: 'input_invalid: bad input' });
    expect(engine.run()).toMatchObject({ status: 'failed' });
  });

  test('a failure that is tolerated fails neither what follows nor the run; its output is null', async () => {
    const engine = await startedEngine(CHAIN, (id) =>
      id === 'a' ? { ...tries(1), on_failure: 'continue' } : { config: { got: '{{a.x}}' } },
    );
    engine.behaviours.set('a', () => failure('no'));
    await engine.drain();
    expect(engine.row('a')).toMatchObject({ status: 'failed', tolerated: true });
    expect(engine.calls.at(-1)).toMatchObject({ actionId: 'b', input: { got: null } });
    expect(engine.run()).toMatchObject({ status: 'completed', error: null });
  });

  test('a task that was delivered ten times without an outcome is taken to be what ends its workers', async () => {
    const engine = await startedEngine({ a: [] });
    engine.behaviours.set('a', () => {
      throw new Error('the end of the process');
    });
    for (let delivery = 1; delivery <= 10; delivery += 1) {
      await expect(
        engine.deliverByHand('a', { stalledCounter: delivery - 1, attemptsStarted: delivery }),
      ).rejects.toThrow();
    }
    // From the fourth one on it runs where it takes no neighbours with it.
    expect(engine.calls.map(({ suspect }) => suspect)).toEqual([...Array(3).fill(false), ...Array(7).fill(true)]);
    const last = await engine.deliverByHand('a', { stalledCounter: 10, attemptsStarted: 11 });
    expect(last).toEqual({ job: 'fail', message: 'worker_crashed: delivered 10 times without an outcome' });
    expect(engine.calls).toHaveLength(10);
    expect(engine.run()).toMatchObject({ status: 'failed', final: true });
  });
});

describe('conditions and inputs', () => {
  test('an action whose condition does not hold is skipped, and a branch below it with it', async () => {
    const engine = await startedEngine({ a: [], b: ['a'] }, (id) => (id === 'a' ? { when: 'no' } : {}));
    await engine.drain();
    expect([engine.row('a')?.status, engine.row('b')?.status]).toEqual(['skipped', 'skipped']);
    expect(engine.calls).toEqual([]);
    expect(engine.run()).toMatchObject({ status: 'completed', output: '{"b":null}' });
  });

  test('one whose condition holds is executed', async () => {
    const engine = await startedEngine({ a: [] }, () => ({ when: 'yes' }));
    await engine.drain();
    expect(engine.calls).toHaveLength(1);
  });

  test('a template that cannot be resolved fails the task without a try', async () => {
    const engine = await startedEngine(CHAIN, (id) => (id === 'b' ? { config: { x: '{{a.missing}}' } } : {}));
    await engine.drain();
    expect(engine.errorOf('b')).toMatchObject({ code: 'template_unresolved' });
    expect(engine.calls).toHaveLength(1);
    expect(engine.run()?.status).toBe('failed');
  });

  test('a secret reaches the adapter and nothing that is stored', async () => {
    const engine = await startedEngine({ a: [] }, () => ({ config: { key: '{{secrets.KEY}}' } }));
    engine.behaviours.set('a', ({ input }) => output({ echoed: input }));
    await engine.drain();
    expect(engine.calls[0]?.input).toEqual({ key: 'sesame' });
    expect(JSON.stringify([...engine.store.truth.tasks.values(), engine.run(), engine.log.lines])).not.toContain(
      'sesame',
    );
  });

  test('an output beyond the limit fails the task, not the worker', async () => {
    const engine = await startedEngine({ a: [] });
    engine.behaviours.set('a', () => output('x'.repeat(2_000)));
    expect(await engine.deliver('a')).toMatchObject({ job: 'fail' });
    expect(engine.errorOf('a')).toMatchObject({ code: 'output_too_large' });
    expect(engine.calls).toHaveLength(1);
  });
});

describe('planned returns', () => {
  test('a task that sleeps comes back by itself: the delivery that was announced claims nothing', async () => {
    const engine = await startedEngine({ a: [] });
    const until = new Date(NOW + 60_000);
    engine.behaviours.set('a', ({ wakeAt }) => (wakeAt === undefined ? { result: 'sleep', until } : output('awake')));
    expect(await engine.deliver('a')).toEqual({ job: 'delay', untilMs: until.getTime() });
    expect(engine.row('a')).toMatchObject({
      status: 'waiting',
      final: false,
      nextDelivery: 2,
      wakeAt: until,
      endedAttempt: 0,
    });
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.calls[1]?.wakeAt).toEqual(until);
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 1, fence: 1 });
    expect(engine.store.truth.attempts).toHaveLength(1);
  });

  test.each([
    ['a sleep', { result: 'sleep', until: new Date(NOW + 60_000) }],
    ['a retry', failure('not yet')],
  ] as const)(
    '%s says by which clock it was measured, so that it lasts as long if the database has another one',
    async (_, result) => {
      const engine = await startedEngine({ a: [] }, () => tries(3));
      const commit = vi.spyOn(engine.store.tasks, 'commit');
      engine.behaviours.set('a', () => result);
      await engine.deliver('a');
      const [outcome] = commit.mock.calls[0] ?? [];
      expect(outcome?.notBefore?.getTime()).toBeGreaterThan(NOW);
      expect(outcome?.clockReading).toEqual({ clockMs: NOW, mono: expect.any(Number) });
    },
  );

  test('what was delivered too early sleeps on until the time that is stored, whatever the worker’s clock says', async () => {
    const engine = await startedEngine({ a: [] });
    const commit = vi.spyOn(engine.store.tasks, 'commit');
    const until = new Date(NOW + 60_000);
    engine.behaviours.set('a', ({ wakeAt }) => ({ result: 'sleep', until: wakeAt ?? until }));
    await engine.deliver('a');
    await engine.deliver('a');
    const [first, second] = commit.mock.calls.map(([outcome]) => outcome);
    expect(first?.clockReading).toBeDefined();
    expect(second).toMatchObject({ wakeAt: until, notBefore: until });
    expect(second?.clockReading).toBeUndefined();
  });

  test('a time that is the database’s is not said to be the worker’s', async () => {
    const engine = await startedEngine({ a: [] });
    const commit = vi.spyOn(engine.store.tasks, 'commit');
    engine.behaviours.set('a', () => ({ result: 'park', until: new Date(NOW + 60_000) }));
    await engine.deliver('a');
    expect(commit.mock.calls[0]?.[0]).toMatchObject({ notBefore: new Date(NOW + 60_000) });
    expect(commit.mock.calls[0]?.[0]?.clockReading).toBeUndefined();
  });

  test('one that comes back otherwise than announced claims', async () => {
    const engine = await startedEngine({ a: [] });
    engine.behaviours.set('a', ({ wakeAt }) =>
      wakeAt === undefined ? { result: 'sleep', until: new Date(NOW) } : output('awake'),
    );
    await engine.deliver('a');
    const job = engine.queue.jobs()[0];
    engine.take('a');
    if (job !== undefined) engine.queue.stall(job);
    await engine.deliver('a');
    expect(engine.row('a')).toMatchObject({ status: 'completed', fence: 2 });
  });

  test('the end of the worker gives the task back at once, and its next delivery is clean', async () => {
    const engine = await startedEngine({ a: [] });
    engine.behaviours.set('a', ({ signal }) =>
      engine.calls.length > 1
        ? output('again')
        : new Promise((resolve) => signal.addEventListener('abort', () => resolve(failure('aborted')))),
    );
    const lease = engine.take('a');
    const working = engine.work(lease);
    await vi.waitUntil(() => engine.calls.length === 1);
    engine.shutdown.abort();
    const disposition = await working;
    expect(disposition).toEqual({ job: 'delay', untilMs: NOW });
    engine.queue.end(lease, disposition);
    expect(engine.row('a')).toMatchObject({ status: 'waiting', nextDelivery: 2, endedAttempt: 0, fence: 1 });
    const next = { ...engine.deps, shutdown: new AbortController().signal };
    engine.deps.shutdown = next.shutdown;
    expect(await engine.deliver('a')).toEqual({ job: 'complete' });
    expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 1, fence: 1, deliveries: 1 });
  });
});
