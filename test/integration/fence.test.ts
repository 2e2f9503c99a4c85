/** The SQL that decides whose outcome counts, against a real PostgreSQL: `src/store/tasks/commit.ts` and its neighbours. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/engine/ports/tasks.ts';
import { commitOutcomes } from '../../src/store/tasks/commit.ts';
import { numbers } from '../harness/dags.ts';
import { outcome } from '../harness/outcomes.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

describe('whose outcome counts', () => {
  test('a clean first attempt commits without a claim', async () => {
    const runId = await db.accepted();
    expect(await db.commit({ runId })).toBe('accepted');
    expect(await db.task(runId)).toMatchObject({
      status: 'completed',
      final: true,
      fence: 1,
      attempt: 1,
      ended_attempt: 1,
      deliveries: 1,
      output: { done: true },
    });
    expect(await db.run(runId)).toMatchObject({ status: 'running', final: false });
  });

  test('a failure under an old token is refused, one under the current token is not', async () => {
    const runId = await db.accepted();
    expect(await db.claim(runId)).toEqual({ fence: 2, deliveries: 2 });
    for (const status of ['failed', 'retrying', 'waiting', 'cancelled'] as const) {
      expect(await db.commit({ runId, status, fence: 1 })).toBe('rejected');
    }
    expect(await db.task(runId)).toMatchObject({ status: 'running', final: false });
    expect(await db.commit({ runId, status: 'failed', fence: 2 })).toBe('accepted');
  });

  test('a success counts whoever holds the token, and the first one wins', async () => {
    const runId = await db.accepted();
    await db.claim(runId);
    expect(await db.commit({ runId, fence: 1, output: '"of the zombie"' })).toBe('accepted');
    expect(await db.commit({ runId, fence: 2, output: '"of its successor"' })).toBe('rejected');
    expect(await db.commit({ runId, fence: 2, status: 'failed' })).toBe('rejected');
    expect(await db.task(runId)).toMatchObject({ status: 'completed', output: 'of the zombie' });
    expect(await db.attempts(runId)).toEqual(['a 1 completed']);
    expect(await db.kinds(runId)).toEqual(['task.completed']);
  });

  test('an attempt ends once: a success that comes after its failure was recorded is refused', async () => {
    const runId = await db.accepted();
    expect(await db.commit({ runId, status: 'retrying' })).toBe('accepted');
    expect(await db.commit({ runId })).toBe('rejected');
    expect(await db.commit({ runId, status: 'failed' })).toBe('rejected');
    expect(await db.task(runId)).toMatchObject({ status: 'retrying', final: false, ended_attempt: 1 });
    expect(await db.commit({ runId, attempt: 2 })).toBe('accepted');
    expect(await db.attempts(runId)).toEqual(['a 1 failed', 'a 2 completed']);
    expect(await db.kinds(runId)).toEqual(['task.retrying', 'task.completed']);
  });

  test('each claim gives a new token and counts a delivery; a commit begins to count anew', async () => {
    const runId = await db.accepted();
    expect(await db.claim(runId)).toEqual({ fence: 2, deliveries: 2 });
    expect(await db.claim(runId)).toEqual({ fence: 3, deliveries: 3 });
    expect(await db.commit({ runId, status: 'retrying', fence: 3 })).toBe('accepted');
    expect(await db.claim(runId)).toEqual({ fence: 4, deliveries: 2 });
    expect(await db.commit({ runId, attempt: 2, fence: 4 })).toBe('accepted');
    expect(await db.claim(runId)).toBeUndefined();
  });

  test('a planned return announces its next delivery and keeps the first time to wake at', async () => {
    const runId = await db.accepted();
    const wakeAt = new Date('2030-01-01T00:00:00.000Z');
    expect(await db.commit({ runId, status: 'waiting', wakeAt, nextDelivery: 2 })).toBe('accepted');
    expect(await db.commit({ runId, status: 'waiting', wakeAt: new Date(), nextDelivery: 3 })).toBe('accepted');
    expect(await db.task(runId)).toMatchObject({
      status: 'waiting',
      ended_attempt: 0,
      next_delivery: 3,
      wake_at: wakeAt,
      finished_at: null,
    });
    await db.claim(runId);
    expect(await db.task(runId)).toMatchObject({ status: 'waiting', next_delivery: null, fence: 2 });
    expect(await db.attempts(runId)).toEqual([]);
    expect(await db.commit({ runId, fence: 2 })).toBe('accepted');
  });

  test('a task that is shown as running keeps its token, and an old holder shows nothing', async () => {
    const runId = await db.accepted();
    await db.tasks.markRunning(outcome({ runId, status: 'waiting', ended: false, input: '{"x": 1}' }));
    expect(await db.task(runId)).toMatchObject({
      status: 'running',
      fence: 1,
      deliveries: 1,
      input: { x: 1 },
      ended_attempt: 0,
    });
    expect(await db.run(runId)).toMatchObject({ status: 'running' });
    await db.claim(runId);
    await db.tasks.markRunning(outcome({ runId, status: 'waiting', ended: false, worker: 'zombie', fence: 1 }));
    expect(await db.task(runId)).toMatchObject({ worker: 'other' });
    await db.commit({ runId, fence: 2 });
    await db.tasks.markRunning(outcome({ runId, status: 'waiting', ended: false, fence: 2 }));
    expect(await db.task(runId)).toMatchObject({ status: 'completed', final: true });
  });

  test('only the epoch of the run counts, and rows that were kept from an earlier one stay', async () => {
    const runId = await db.accepted();
    await db.commit({ runId, actionId: 'kept' });
    await db.commit({ runId, actionId: 'again', status: 'failed' });
    await db.pool.query('UPDATE run SET epoch = 2 WHERE id = $1', [runId]);
    await db.pool.query(
      `UPDATE task SET epoch = 2, fence = 1, ended_attempt = 0, attempt = 0, final = false, status = 'pending' WHERE run_id = $1 AND action_id = 'again'`,
      [runId],
    );
    expect(await db.commit({ runId, actionId: 'again' })).toBe('rejected');
    expect(await db.commit({ runId, actionId: 'new' })).toBe('rejected');
    expect(await db.claim(runId, 'again')).toBeUndefined();
    expect(await db.commit({ runId, actionId: 'kept', epoch: 2 })).toBe('rejected');
    expect(await db.commit({ runId, actionId: 'again', epoch: 2 })).toBe('accepted');
    expect(await db.commit({ runId, actionId: 'new', epoch: 2 })).toBe('accepted');
    expect(await db.task(runId, 'kept')).toMatchObject({ epoch: 1, status: 'completed' });
  });

  test('of a run that is unknown or has ended nothing counts', async () => {
    expect(await db.commit({ runId: 'unknown' })).toBe('rejected');
    expect(await db.claim('unknown')).toBeUndefined();
    const runId = await db.accepted();
    await db.runs.endAbnormally(runId, 1, 'cancelled', [{ actionId: 'a', actionType: 'test_task' }]);
    expect(await db.commit({ runId })).toBe('rejected');
    expect(await db.commit({ runId, actionId: 'not of its version' })).toBe('rejected');
    expect(await db.claim(runId)).toBeUndefined();
    expect(await db.kinds(runId)).toEqual(['run.cancelled']);
  });
});

describe('times that a worker tells by its clock', () => {
  const MINUTE_MS = 60_000;
  const LEFT = `SELECT extract(epoch FROM wake_at - now())::float8 AS wake, extract(epoch FROM not_before - now())::float8 AS due
                FROM task WHERE run_id = $1`;

  /** A sleep of a minute, decided `agoMs` ago by a clock that is off by so much. */
  async function sleptBy(offMs: number, agoMs = 0) {
    const runId = await db.accepted();
    const clockMs = Date.now() + offMs - agoMs;
    const until = new Date(clockMs + MINUTE_MS);
    const clockReading = { clockMs, mono: performance.now() - agoMs };
    await db.commit({ runId, status: 'waiting', wakeAt: until, notBefore: until, clockReading });
    return {
      left: (await db.rows<{ wake: number; due: number }>(LEFT, runId))[0],
      until,
      wakeAt: (await db.task(runId))?.['wake_at'],
    };
  }

  test.each([3_600_000, -3_600_000])(
    'go by the database, when that was set and the worker does not know it (%i ms)',
    async (offMs) => {
      for (const agoMs of [0, 20_000]) {
        const { left } = await sleptBy(offMs, agoMs);
        const expected = (MINUTE_MS - agoMs) / 1_000;
        expect(left?.wake).toBeGreaterThan(expected - 15);
        expect(left?.wake).toBeLessThanOrEqual(expected + 1);
        expect(left?.due).toBe(left?.wake);
      }
    },
  );

  test('stay as they were told, when the two clocks agree or the database told them itself', async () => {
    const { until, wakeAt } = await sleptBy(500);
    expect(wakeAt).toEqual(until);
    const runId = await db.accepted();
    const told = new Date(Date.now() + 7_200_000);
    await db.commit({ runId, status: 'waiting', wakeAt: told, notBefore: told });
    expect((await db.task(runId))?.['wake_at']).toEqual(told);
  });
});

describe('one statement for many', () => {
  test('two deliveries of one task in one batch: the success is taken, its twin is refused', async () => {
    const runId = await db.accepted();
    const twins = [
      outcome({ runId, status: 'failed', fence: 2 }),
      outcome({ runId, fence: 1 }),
      outcome({ runId, status: 'failed', fence: 1 }),
    ];
    const other = outcome({ runId, actionId: 'b' });
    expect(await commitOutcomes(db.pool, [...twins, other])).toEqual(['rejected', 'accepted', 'rejected', 'accepted']);
    expect(await db.kinds(runId)).toEqual(['task.completed', 'task.completed']);
  });

  test('an outcome whose answer was lost is accepted again and written once', async () => {
    const runId = await db.accepted();
    const lost = [
      outcome({ runId, status: 'retrying' }),
      outcome({ runId, actionId: 'end', endsRun: true, runOutput: '1' }),
    ];
    expect(await commitOutcomes(db.pool, lost)).toEqual(['accepted', 'accepted']);
    const before = [await db.task(runId), await db.run(runId), await db.kinds(runId), await db.attempts(runId)];
    expect(await commitOutcomes(db.pool, lost)).toEqual(['accepted', 'accepted']);
    expect([await db.task(runId), await db.run(runId), await db.kinds(runId), await db.attempts(runId)]).toEqual(
      before,
    );
  });

  test('an outcome that the database cannot store fails alone', async () => {
    const ids = await Promise.all(numbers(0, 8).map(() => db.accepted()));
    const answers = await Promise.allSettled(
      ids.map((runId, at) => db.commit({ runId, ...(at === 5 ? { output: '"\\u0000"' } : {}) })),
    );
    expect(answers.map(({ status }) => status)).toEqual(ids.map((_, at) => (at === 5 ? 'rejected' : 'fulfilled')));
    expect(answers[5]).toMatchObject({ reason: { code: 'output_not_storable' } });
    const stored = await db.rows('SELECT run_id FROM task WHERE run_id = ANY($1::text[])', ids);
    expect(stored).toHaveLength(7);
  });

  test('every outcome that is accepted has one event, and every attempt that was executed one row', async () => {
    const runId = await db.accepted();
    for (const attempt of numbers(1, 6)) {
      const values = { runId, attempt, status: attempt < 5 ? ('retrying' as const) : ('completed' as const) };
      expect(await Promise.all([db.commit(values), db.commit(values)])).toContain('accepted');
    }
    await db.commit({ runId, actionId: 'skipped', status: 'skipped', startedMono: null });
    expect(await db.kinds(runId)).toEqual([
      ...numbers(0, 4).map(() => 'task.retrying'),
      'task.completed',
      'task.skipped',
    ]);
    expect(await db.attempts(runId)).toEqual(['a 1 failed', 'a 2 failed', 'a 3 failed', 'a 4 failed', 'a 5 completed']);
  });

  test('sixteen writers with overlapping batches neither deadlock nor write anything twice', async () => {
    const ids = await Promise.all(numbers(0, 40).map(() => db.accepted()));
    const actions = ['a', 'b', 'c', 'd', 'e'];
    // A fixed sequence of choices, other for each writer.
    const accepts = new Map<string, number>();
    await Promise.all(
      numbers(0, 16).map(async (writer) => {
        let seed = writer * 7_919 + 1;
        const next = (below: number) => {
          seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
          return seed % below;
        };
        for (const round of numbers(0, 60)) {
          const batch: Outcome[] = numbers(0, 25).map(() => {
            const actionId = actions[next(actions.length)] ?? '';
            const status = next(3) === 0 ? ('retrying' as const) : ('completed' as const);
            return outcome({ runId: ids[next(ids.length)] ?? '', actionId, status, attempt: 1 + next(3) });
          });
          if (round % 10 === 0)
            await Promise.all([
              db.runs.markQueued(ids[next(ids.length)] ?? ''),
              db.runs.markQueued(ids[next(ids.length)] ?? ''),
            ]);
          const answers = await commitOutcomes(db.pool, batch);
          for (const [at, answer] of answers.entries()) {
            const { runId, actionId, status } = batch[at] ?? outcome({ runId: '' });
            const key = `${runId} ${actionId}`;
            if (answer === 'accepted' && status === 'completed') accepts.set(key, (accepts.get(key) ?? 0) + 1);
          }
        }
      }),
    );
    expect([...accepts.values()].every((count) => count === 1)).toBe(true);
    const doubled = await db.rows(
      `SELECT run_id, action_id, attempt FROM event WHERE run_id = ANY($1::text[]) AND action_id IS NOT NULL
       GROUP BY 1, 2, 3 HAVING count(*) > 1`,
      ids,
    );
    expect(doubled).toEqual([]);
    const [completed] = await db.rows<{ count: number }>(
      `SELECT count(*)::int AS count FROM task WHERE run_id = ANY($1::text[]) AND status = 'completed'`,
      ids,
    );
    expect(completed?.count).toBe(accepts.size);
  });
});
