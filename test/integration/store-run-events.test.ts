/** The order of events: it never changes, whatever commits late and whoever reads at the same time. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRunFollower } from '../../src/engine/follow/follow-run.ts';
import { createRunEvents, NUMBERING_LOCK } from '../../src/store/views/run-events.ts';
import { until } from '../harness/until.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

const INSERT = 'INSERT INTO event (run_id, action_id, epoch, kind) VALUES ($1, $2, 1, $3) RETURNING id';

let place: FenceDatabase;
beforeAll(async () => {
  place = await openFenceDatabase();
});
afterAll(() => place.close());

const add = (runId: string, action: string, client: pg.Pool | pg.PoolClient = place.pool) =>
  client.query<{ id: string }>(INSERT, [runId, action, 'task.completed']);
const told = async (runId: string, after = 0) => {
  const events = createRunEvents(place.pool);
  await events.progress([runId]);
  const found = await events.page({ runId, after, limit: 1_000 });
  return found.map(({ id, kind, actionId }) => `${id} ${actionId ?? kind}`);
};

describe('an event that commits after one with a greater id', () => {
  test('is neither missed nor sent twice, live and over a reconnect', async () => {
    const run = await place.accepted();
    const follower = createRunFollower(createRunEvents(place.pool), { pollMs: 5 });
    const follow = (after: number) => {
      const got: string[] = [];
      const leaving = new AbortController();
      const end = follower.follow({
        tenantId: 't',
        runId: run,
        after,
        signal: leaving.signal,
        start: () => undefined,
        take(events) {
          got.push(...events.map(({ id, kind, actionId }) => `${id} ${actionId ?? kind}`));
          return Promise.resolve(true);
        },
      });
      return { got, end, leave: () => leaving.abort() };
    };
    const [late, early] = await Promise.all([place.pool.connect(), place.pool.connect()]);
    try {
      const reader = follow(-1);
      await late.query('BEGIN');
      await early.query('BEGIN');
      const { rows: lower } = await add(run, 'late', late);
      const { rows: greater } = await add(run, 'early', early);
      expect(Number(lower[0]?.id)).toBeLessThan(Number(greater[0]?.id));

      await early.query('COMMIT');
      await until(() => reader.got.includes('1 early'));
      const cut = follow(-1);
      await until(() => cut.got.includes('1 early'));
      cut.leave();
      await cut.end;

      await late.query('COMMIT');
      await until(() => reader.got.includes('2 late'));
      const back = follow(1);
      await place.commit({ runId: run, actionId: 'sink', endsRun: true });
      expect(await reader.end).toBe('ended');
      expect(await back.end).toBe('ended');
      expect(reader.got).toEqual(['0 run.started', '1 early', '2 late', '3 sink', '4 run.completed']);
      expect(back.got).toEqual(['2 late', '3 sink', '4 run.completed']);
      expect(await told(run)).toEqual(reader.got.slice(1));
    } finally {
      follower.close();
      await Promise.all([late.query('ROLLBACK'), early.query('ROLLBACK')]);
      late.release();
      early.release();
    }
  });

  test('that is open for long keeps nobody from the others', async () => {
    const run = await place.accepted();
    const late = await place.pool.connect();
    try {
      await late.query('BEGIN');
      await add(run, 'late', late);
      await add(run, 'one');
      expect(await told(run)).toEqual(['1 one']);
      await add(run, 'two');
      expect(await told(run, 1)).toEqual(['2 two']);
      await late.query('COMMIT');
      expect(await told(run, 2)).toEqual(['3 late']);
    } finally {
      await late.query('ROLLBACK');
      late.release();
    }
  });
});

test('whoever numbers waits for who is numbering, and goes on from what that one has given', async () => {
  const run = await place.accepted();
  await add(run, 'smaller');
  await add(run, 'greater');
  const other = await place.pool.connect();
  try {
    await other.query('BEGIN');
    await other.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', [NUMBERING_LOCK, run]);
    // It has not seen the one with the smaller id, which was not committed then.
    await other.query(`UPDATE event SET seq = 1 WHERE run_id = $1 AND action_id = 'greater'`, [run]);
    const waiting = told(run);
    await until(async () => {
      const blocked = await place.rows(
        `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
      );
      return blocked.length === 1;
    });
    await other.query('COMMIT');
    expect(await waiting).toEqual(['1 greater', '2 smaller']);
  } finally {
    await other.query('ROLLBACK');
    other.release();
  }
});

test('whoever numbers at the same time as others, and beside writers, gives every event one number and no number twice', async () => {
  const runs = [await place.accepted(), await place.accepted(), await place.accepted()];
  const readers = Array.from({ length: 6 }, () => createRunEvents(place.pool));
  let writing = true;
  const write = async (writer: number) => {
    for (let count = 0; count < 60; count += 1) {
      const client = await place.pool.connect();
      try {
        await client.query('BEGIN');
        for (const run of runs) await add(run, `${writer}-${count}`, client);
        // What is read between the two commits late.
        if (count % 3 === 0) await client.query('SELECT pg_sleep(0.005)');
        await client.query('COMMIT');
      } finally {
        client.release();
      }
    }
  };
  const read = async (events: (typeof readers)[number], order: readonly string[]) => {
    const seen = new Map<string, string[]>(order.map((run) => [run, []]));
    const step = async () => {
      await events.progress(order);
      for (const run of order) {
        const ofRun = seen.get(run) ?? [];
        const found = await events.page({ runId: run, after: ofRun.length, limit: 1_000 });
        ofRun.push(...found.map(({ id, actionId }) => `${id} ${String(actionId)}`));
      }
    };
    while (writing) await step();
    await step();
    return seen;
  };
  const reading = readers.map((events, index) => read(events, index % 2 === 0 ? runs : [...runs].reverse()));
  await Promise.all([0, 1, 2, 3].map(write));
  writing = false;
  const seen = await Promise.all(reading);
  for (const run of runs) {
    const all = await told(run);
    expect(all).toHaveLength(240);
    expect(all.map((one) => Number(one.split(' ')[0]))).toEqual(Array.from({ length: 240 }, (_, index) => index + 1));
    expect(new Set(all.map((one) => one.split(' ')[1])).size).toBe(240);
    for (const one of seen) expect(one.get(run)).toEqual(all);
  }
});

test('a run that is seen as ended is seen with its last event', async () => {
  const run = await place.accepted();
  const events = createRunEvents(place.pool);
  expect((await events.progress([run])).get(run)).toEqual({
    tenantId: 't',
    final: false,
    startedAt: null,
    last: 0,
    reports: 0,
  });
  await place.commit({ runId: run, endsRun: true });
  expect((await events.progress([run])).get(run)).toMatchObject({
    final: true,
    last: 2,
    startedAt: expect.any(Date),
  });
  expect(await events.progress(['unknown'])).toEqual(new Map());
});

test('ids of any text are numbered as they are', async () => {
  const odd = String.raw`it's \ "odd" $1 ; DROP TABLE event; --`;
  await place.rows(
    `INSERT INTO run (id, tenant_id, status, parameters, user_id) VALUES ($1, 't', 'running', '{}', 'u')`,
    odd,
  );
  await add(odd, 'a');
  expect(await told(odd)).toEqual(['1 a']);
});

test('readers of different runs and places are answered by one statement, each with its own', async () => {
  const [one, two] = [await place.accepted(), await place.accepted()];
  for (const run of [one, two]) for (const action of ['a', 'b', 'c']) await add(run, `${run}-${action}`);
  const statements: string[] = [];
  const counting = new pg.Pool({ connectionString: place.url, max: 1 });
  counting.on('connect', (client) => {
    const query = client.query.bind(client);
    client.query = ((...given: Parameters<typeof query>) => {
      statements.push(JSON.stringify(given[0]));
      return query(...given);
    }) as typeof client.query; // The same, and it counts.
  });
  try {
    const events = createRunEvents(counting);
    await events.progress([one, two]);
    statements.length = 0;
    const requests = [
      { runId: one, after: 0, limit: 2 },
      { runId: two, after: 2, limit: 9 },
      { runId: one, after: 0, limit: 2 },
      { runId: 'unknown', after: 0, limit: 2 },
    ];
    const pages = await Promise.all(requests.map((request) => events.page(request)));
    expect(pages.map((page) => page.map(({ actionId }) => actionId))).toEqual([
      [`${one}-a`, `${one}-b`],
      [`${two}-c`],
      [`${one}-a`, `${one}-b`],
      [],
    ]);
    expect(statements).toHaveLength(1);
  } finally {
    await counting.end();
  }
});
