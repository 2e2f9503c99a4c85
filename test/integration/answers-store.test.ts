/** Answers to published tasks against a database: attempts that nobody opens, many answers at once, and late ones. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makePlan } from '../../src/domain/graph/plan.ts';
import { NO_FAILPOINT } from '../../src/engine/ports/failpoint.ts';
import { createAnswerStore } from '../../src/features/flow-runner/answers/answers-store.ts';
import type { AnswerStore } from '../../src/features/flow-runner/answers/ports.ts';
import { createTakeAnswers } from '../../src/features/flow-runner/answers/take-answers.ts';
import type { IncomingMessage } from '../../src/features/flow-runner/transport/ports.ts';
import { isDataFault } from '../../src/store/core/transient.ts';
import { createTestLog } from '../harness/test-log.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let database: TestDatabase;
let pool: pg.Pool;
let promoted: string[];
let poisoned: string[];
let results: string[];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url, application_name: 'test', max: 4 });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

beforeEach(() => {
  promoted = [];
  poisoned = [];
  results = [];
});

const action = { action_id: 'a', action_type: 'external', config: { topic: 't' }, depends_on: [] };
const plan = makePlan({ name: 'one', actions: [{ ...action, retry: { max_attempts: 3 } }] } as never); // What is read of it.

function takeAnswers(answers: AnswerStore = createAnswerStore(pool)) {
  return createTakeAnswers({
    answers,
    plans: { of: () => Promise.resolve(plan) },
    runs: { checkNow: () => Promise.resolve() },
    queue: {
      promote(jobs) {
        promoted.push(...jobs.map(({ jobId }) => jobId));
        return Promise.resolve();
      },
    },
    poison(_message, code) {
      poisoned.push(code);
      return Promise.resolve();
    },
    topics: { done: 'task_done', failed: 'task_failed' },
    maxBytes: 1_000_000,
    isDataFault,
    metrics: { message: (_topic, result) => void results.push(result), lateAnswer: () => undefined },
    failpoint: NO_FAILPOINT,
    log: createTestLog(),
  });
}

const NO_SIGNAL = new AbortController().signal;

function message(body: object, topic = 'task_done'): IncomingMessage {
  const value = Buffer.from(JSON.stringify({ task_id: 'a', execution_time_ms: 1, ...body }));
  return { topic, partition: 0, offset: '0', key: 'a', value, headers: {}, timestamp: new Date() };
}

interface Given {
  status: string;
  attempt?: number;
  taken?: boolean;
  ended?: number;
}

/** A run whose task has this attempt. */
async function run({ status, attempt = 1, taken = false, ended = 0 }: Given): Promise<string> {
  const id = randomUUID();
  await pool.query(
    `INSERT INTO run (id, tenant_id, user_id, inline, status, parameters) VALUES ($1, 'default', 'u', '{"action_type": "external"}', 'running', '{}')`,
    [id],
  );
  await pool.query(
    `INSERT INTO task (run_id, action_id, action_type, epoch, attempt, ended_attempt, status) VALUES ($1, 'a', 'external', 1, $2, $3, 'waiting')`,
    [id, attempt, ended],
  );
  await pool.query(
    `INSERT INTO external_task (id, run_id, action_id, epoch, attempt, tenant_id, topic, priority, input, status, lease_token, by_message, published_at, taken_at, deadline_at)
     VALUES ($1, $2, 'a', 1, $3, 'default', 't', 50, '{}', $4, $1, true, now(), CASE WHEN $5 THEN now() END, now() + interval '1 hour')`,
    [randomUUID(), id, attempt, status, taken],
  );
  return id;
}

const attemptsOf = async (id: string) =>
  (await pool.query('SELECT attempt, status, output FROM external_task WHERE run_id = $1 ORDER BY attempt', [id])).rows;
const wakesOf = async (id: string) =>
  (await pool.query<{ wakes: number }>('SELECT wakes FROM task WHERE run_id = $1', [id])).rows[0]?.wakes;

test('a success that no attempt is open for is that of the next one, which nobody publishes', async () => {
  const id = await run({ status: 'failed', taken: true, ended: 1 });
  expect(await takeAnswers()([message({ run_id: id, output: { n: 1 } })], NO_SIGNAL)).toBe(1);
  expect(await attemptsOf(id)).toMatchObject([
    { attempt: 1, status: 'failed' },
    { attempt: 2, status: 'completed', output: { n: 1 } },
  ]);
  expect(await wakesOf(id)).toBe(1);
  expect(promoted.length).toBe(1);
  // However often it comes.
  await takeAnswers()([message({ run_id: id, output: { n: 2 } })], NO_SIGNAL);
  expect(results).toEqual(['taken', 'repeated']);
});

test('a failure that the engine has not gone by becomes a success, and after the last attempt it is a late effect', async () => {
  const unseen = await run({ status: 'timed_out' });
  const last = await run({ status: 'failed', attempt: 3, taken: true, ended: 2 });
  const both = [unseen, last].map((id) => message({ run_id: id, output: 1 }));
  await takeAnswers()([...both, ...both], NO_SIGNAL);
  expect(results).toEqual(['taken', 'late', 'repeated', 'repeated']);
  expect(await attemptsOf(unseen)).toMatchObject([{ status: 'completed', output: 1 }]);
  expect(await attemptsOf(last)).toMatchObject([{ attempt: 3, status: 'failed' }]);
  const { rows } = await pool.query('SELECT run_id, attempt, output FROM late_effect');
  expect(rows).toEqual([{ run_id: last, attempt: 3, output: 1 }]);
});

test('answers of many runs are taken in one transaction, and one that the database does not take spoils no other', async () => {
  const ids = await Promise.all(Array.from({ length: 300 }, () => run({ status: 'leased' })));
  const messages = ids.map((id, n) => message({ run_id: id, output: n }));
  const store = createAnswerStore(pool);
  let transactions = 0;
  const counting: AnswerStore = {
    decide(keys, work) {
      transactions += 1;
      // As of a value that no column takes.
      if (keys.some(({ runId }) => runId === spoiled))
        return Promise.reject(Object.assign(new Error('bad'), { code: '22P05' }));
      return store.decide(keys, work);
    },
  };
  let spoiled = '';
  expect(await takeAnswers(counting)(messages, NO_SIGNAL)).toBe(300);
  expect(results).toEqual(ids.map(() => 'taken'));
  const { rows } = await pool.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM external_task WHERE run_id = ANY ($1) AND status = 'completed'`,
    [ids],
  );
  expect(rows[0]?.n).toBe(300);
  expect(promoted.length).toBe(300);
  expect(transactions).toBe(1);
  const [good, bad] = await Promise.all([run({ status: 'leased' }), run({ status: 'leased' })]);
  spoiled = bad;
  results = [];
  await takeAnswers(counting)([message({ run_id: bad }), message({ run_id: good, output: 1 })], NO_SIGNAL);
  expect(await attemptsOf(good)).toMatchObject([{ status: 'completed' }]);
  expect(await attemptsOf(bad)).toMatchObject([{ status: 'leased' }]);
  expect(results).toEqual(['poison', 'taken']);
  expect(poisoned).toEqual(['invalid_message']);
});
