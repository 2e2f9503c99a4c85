/** How runs end: in the statement that commits their last action, by the finalizer, or abnormally; and all at once. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commitOutcomes } from '../../src/store/tasks/commit.ts';
import { numbers } from '../harness/dags.ts';
import { outcome } from '../harness/outcomes.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());

const LAST = { actionId: 'z', endsRun: true, runOutput: '{"all": "done"}' };
const action = (actionId: string) => ({ actionId, actionType: 'test_task' });

describe('the commit of the last action ends the run', () => {
  test('as completed, with its output and its time of beginning', async () => {
    const runId = await db.accepted();
    await db.commit({ runId });
    expect(await db.commit({ runId, ...LAST })).toBe('accepted');
    expect(await db.run(runId)).toMatchObject({
      status: 'completed',
      final: true,
      output: { all: 'done' },
      error: null,
    });
    expect(await db.kinds(runId)).toEqual(['task.completed', 'task.completed', 'run.completed']);
    const { started_at, finished_at, created_at } = (await db.run(runId)) ?? {};
    expect([started_at, finished_at, created_at].every((time) => time instanceof Date)).toBe(true);
  });

  test('as failed, with the error of the first that failed', async () => {
    const runId = await db.accepted();
    await db.commit({ runId, status: 'failed', error: '{"code": "timeout", "message": "first"}' });
    await db.commit({ runId, actionId: 'b', status: 'failed', error: '{"code": "timeout", "message": "second"}' });
    await db.commit({ runId, ...LAST, status: 'upstream_failed', startedMono: null });
    expect(await db.run(runId)).toMatchObject({ status: 'failed', error: { message: 'first' }, output: null });
  });

  test('as failed when it fails itself, and as completed when that is let go', async () => {
    const failed = await db.accepted();
    await db.commit({ runId: failed, ...LAST, status: 'failed' });
    expect(await db.run(failed)).toMatchObject({ status: 'failed', error: { message: 'no' } });
    const letGo = await db.accepted();
    await db.commit({ runId: letGo, status: 'failed', tolerated: true });
    await db.commit({ runId: letGo, ...LAST, status: 'failed', tolerated: true });
    expect(await db.run(letGo)).toMatchObject({ status: 'completed', error: null, output: { all: 'done' } });
  });

  test('as cancelled when that was asked for, whatever the action became', async () => {
    for (const status of ['completed', 'failed', 'cancelled'] as const) {
      const runId = await db.accepted();
      expect(await db.runs.requestCancel('t', runId, 'enough')).toMatchObject({
        found: true,
        was: 'pending',
        changed: true,
      });
      await db.commit({ runId, ...LAST, status });
      expect(await db.run(runId)).toMatchObject({ status: 'cancelled', final: true, output: null, error: null });
      expect(await db.kinds(runId)).toEqual(['run.cancelling', `task.${status}`, 'run.cancelled']);
    }
  });

  test('not when it is only tried again, and not when it is refused', async () => {
    const runId = await db.accepted();
    await db.commit({ runId, ...LAST, status: 'retrying', endsRun: false });
    await db.commit({ runId, ...LAST, attempt: 2, fence: 7, status: 'failed' });
    expect(await db.run(runId)).toMatchObject({ status: 'running', final: false });
  });

  test('once, whoever else holds it, and a callback is due from then on', async () => {
    const runId = await db.accepted();
    await db.pool.query(`UPDATE run SET callback_url = 'http://example.test/' WHERE id = $1`, [runId]);
    const answers = await Promise.all(numbers(0, 10).map(() => commitOutcomes(db.pool, [outcome({ runId, ...LAST })])));
    expect(answers.flat().filter((answer) => answer === 'accepted')).toHaveLength(1);
    expect(await db.kinds(runId)).toEqual(['task.completed', 'run.completed']);
    expect(await db.rows('SELECT status FROM webhook_delivery WHERE run_id = $1', runId)).toEqual([
      { status: 'pending' },
    ]);
  });
});

describe('the finalizer', () => {
  const finalize = (runId: string, actions = 2) =>
    db.runs.finalize({ runId, tenantId: 't', epoch: 1, actions, output: '{"x": 1}' });

  test('ends a run only when every one of its actions is final', async () => {
    const runId = await db.accepted();
    await db.commit({ runId });
    await db.commit({ runId, actionId: 'b', status: 'retrying' });
    expect(await finalize(runId)).toBe(false);
    expect(await db.run(runId)).toMatchObject({ final: false });
    await db.commit({ runId, actionId: 'b', attempt: 2 });
    expect(await finalize(runId)).toBe(true);
    expect(await db.run(runId)).toMatchObject({ status: 'completed', final: true, output: { x: 1 } });
    expect(await finalize(runId)).toBe(true);
    expect((await db.kinds(runId)).filter((kind) => kind.startsWith('run.'))).toEqual(['run.completed']);
  });

  test('tells failed, let go and cancelled apart', async () => {
    const ended = async (values: object, cancel = false) => {
      const runId = await db.accepted();
      if (cancel) await db.runs.requestCancel('t', runId, undefined);
      await db.commit({ runId, ...values });
      await db.commit({ runId, actionId: 'b' });
      await finalize(runId);
      return db.run(runId);
    };
    expect(await ended({ status: 'failed' })).toMatchObject({
      status: 'failed',
      error: { message: 'no' },
      output: null,
    });
    expect(await ended({ status: 'failed', tolerated: true })).toMatchObject({ status: 'completed', error: null });
    expect(await ended({ status: 'failed' }, true)).toMatchObject({ status: 'cancelled', error: null, output: null });
  });

  test('of another epoch does nothing', async () => {
    const runId = await db.accepted();
    await db.commit({ runId });
    await db.runs.finalize({ runId, tenantId: 't', epoch: 2, actions: 1, output: null });
    expect(await db.run(runId)).toMatchObject({ final: false });
  });
});

describe('an abnormal end', () => {
  test('leaves a final row for every action and keeps what had ended before', async () => {
    const runId = await db.accepted();
    await db.commit({ runId });
    await db.commit({ runId, actionId: 'b', status: 'retrying' });
    const ended = () => db.runs.endAbnormally(runId, 1, 'cancelled', ['a', 'b', 'c'].map(action));
    expect(await ended()).toBe(true);
    expect(await ended()).toBe(false);
    const states = await db.rows('SELECT action_id, status, final FROM task WHERE run_id = $1 ORDER BY 1', runId);
    expect(states).toEqual([
      { action_id: 'a', status: 'completed', final: true },
      { action_id: 'b', status: 'cancelled', final: true },
      { action_id: 'c', status: 'cancelled', final: true },
    ]);
    expect(await db.run(runId)).toMatchObject({ status: 'cancelled', final: true });
  });

  test('of another epoch does nothing', async () => {
    const runId = await db.accepted();
    expect(await db.runs.endAbnormally(runId, 2, 'cancelled', [action('a')])).toBe(false);
    expect(await db.task(runId)).toBeUndefined();
  });

  test.each([
    ['of an action in the middle', {}],
    ['of the last action', { endsRun: true, runOutput: '1' }],
  ])(
    'and a commit %s at the same time: one of them wins whole, a thousand times, without a deadlock',
    async (_, values) => {
      const ids = await Promise.all(numbers(0, 1_000).map(() => db.accepted()));
      const deadlocks = async () =>
        (
          await db.rows<{ deadlocks: string }>(
            'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
          )
        )[0]?.deadlocks;
      const before = await deadlocks();
      for (let at = 0; at < ids.length; at += 6) {
        await Promise.all(
          ids.slice(at, at + 6).flatMap((runId) => {
            const commit = commitOutcomes(db.pool, [outcome({ runId, ...values })]);
            const end = db.runs.endAbnormally(runId, 1, 'cancelled', ['a', 'b'].map(action));
            return [commit, end];
          }),
        );
      }
      const states = await db.rows<{ told: string; count: number }>(
        `SELECT r.status || ' a:' || coalesce(a.status, '-') || ' b:' || coalesce(b.status, '-') AS told, count(*)::int AS count
       FROM run r LEFT JOIN task a ON a.run_id = r.id AND a.action_id = 'a' LEFT JOIN task b ON b.run_id = r.id AND b.action_id = 'b'
       WHERE r.id = ANY($1::text[]) GROUP BY 1`,
        ids,
      );
      const allowed = ['cancelled a:cancelled b:cancelled', 'cancelled a:completed b:cancelled'];
      if ('endsRun' in values) allowed.push('completed a:completed b:-');
      expect(allowed).toEqual(expect.arrayContaining(states.map(({ told }) => told)));
      expect(states.reduce((sum, { count }) => sum + count, 0)).toBe(1_000);
      const open = await db.rows('SELECT 1 FROM task WHERE run_id = ANY($1::text[]) AND NOT final', ids);
      expect(open).toEqual([]);
      expect(await deadlocks()).toBe(before);
    },
  );
});

test('many runs that begin and end at once, in batches of any order, do not wait for each other in a circle', async () => {
  const ids = await Promise.all(numbers(0, 1_200).map(() => db.accepted()));
  let seed = 11;
  const next = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  const shuffled = () => {
    const order = [...ids];
    for (let at = order.length - 1; at > 0; at -= 1) {
      const other = next(at + 1);
      [order[at], order[other]] = [order[other] ?? '', order[at] ?? ''];
    }
    return order;
  };
  const inBatches = async (order: string[], work: (batch: string[]) => Promise<unknown>) => {
    for (let at = 0; at < order.length; at += 100) await work(order.slice(at, at + 100));
  };
  const commit = (values: object) => (batch: string[]) =>
    commitOutcomes(
      db.pool,
      batch.map((runId) => outcome({ runId, ...values })),
    );
  const mark = (batch: string[]) => Promise.all(batch.map((runId) => db.runs.markQueued(runId)));
  await Promise.all([
    inBatches(shuffled(), mark),
    ...['a', 'b', 'c', 'd'].map((actionId) => inBatches(shuffled(), commit({ actionId }))),
    ...numbers(0, 4).map(() => inBatches(shuffled(), commit(LAST))),
  ]);
  const open = await db.rows('SELECT id FROM run WHERE id = ANY($1::text[]) AND NOT final', ids);
  expect(open).toEqual([]);
  const ends = await db.rows(
    `SELECT run_id FROM event WHERE run_id = ANY($1::text[]) AND kind LIKE 'run.%' GROUP BY 1 HAVING count(*) <> 1`,
    ids,
  );
  expect(ends).toEqual([]);
});
