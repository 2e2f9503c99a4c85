/** Small scenarios, each of which goes wrong only when one protection is missing. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Disturbance } from '../../harness/checker/calls.ts';
import { findViolations } from '../../harness/checker/evidence.ts';
import { createFinalWatch, type FinalWatch } from '../../harness/checker/final-watch.ts';
import type { Foretold, Promised } from '../../harness/checker/promises.ts';
import type { Violation } from '../../harness/checker/rules.ts';
import { waitForRest } from '../../harness/checker/stuck-runs.ts';
import { accepted, field, openClient } from '../../harness/client/client.ts';
import type { Edges } from '../../harness/dags.ts';
import type { Station } from '../../harness/faults/station.ts';
import type { Child } from '../../harness/processes/process.ts';
import { until } from '../../harness/until.ts';
import { definitionOf, type Surroundings } from '../model/definition.ts';
import type { Plot } from '../model/forms.ts';
import { plainPlot, plainStep } from '../model/plain.ts';
import { promiseOf } from './promise-of.ts';

/** Longer than the reconciler takes to miss a job twice. */
const QUIET_MS = 12_000;
const REST_MS = 45_000;
/** What is called so long after its commit cannot have been looked up before it. */
const LONG_AFTER_MS = 3_500;

/** Calls of one run, answered by hand. */
interface Watched {
  station: Station;
  watch: FinalWatch;
  promised: Promised[];
  disturbances: Disturbance[];
}

export async function provoke(
  station: Station,
  provocation: (watched: Watched) => Promise<void>,
): Promise<Violation[]> {
  const { db, redisClient: redis, queuePrefix, service, apiUrl } = station;
  const watched: Watched = { station, watch: createFinalWatch(db), promised: [], disturbances: [] };
  const callsBefore = service.calls.length;
  let over = false;
  const watching = (async () => {
    while (!over) {
      await watched.watch.look().catch(() => undefined);
      await sleep(100);
    }
  })();
  try {
    await provocation(watched);
    const stuck = await waitForRest({ db, redis, queuePrefix, apiUrl }, { quietMs: QUIET_MS, totalMs: REST_MS });
    over = true;
    await watching;
    await watched.watch.look();
    const found = await findViolations(db, {
      calls: service.calls.slice(callsBefore),
      disturbances: [...watched.disturbances, ...station.stalls],
      promised: watched.promised,
    });
    return [...stuck, ...watched.watch.violations(), ...found];
  } finally {
    over = true;
    service.answer(async () => undefined);
    await watching;
    // The next one begins with nothing.
    await db.query('TRUNCATE run, task, attempt, event, late_effect, workflow, workflow_version CASCADE');
    await redis?.flushall();
  }
}

/** Every action calls the service. */
function calling(edges: Edges): Plot {
  const calls = Object.entries(edges).map(([id, after], n) =>
    plainStep(id, after, { kind: 'call', n, behave: 'succeed', workMs: 0 }),
  );
  return plainPlot(...calls);
}
const ONE_THEN_ANOTHER = calling({ first: [], second: ['first'] });
const CROSSED = calling({ a: [], b: ['a'], c: ['a'], d: ['b', 'c'], e: ['b', 'c'], f: ['d', 'e'] });

function surroundingsOf({ service }: Station): Surroundings {
  return { serviceUrl: service.url, workflowIds: new Map() };
}

async function execute(watched: Watched, plot: Plot, key: string, body: object = {}): Promise<string> {
  const { station, promised } = watched;
  const api = openClient(station.apiUrl);
  const id = await api.createWorkflow(definitionOf(plot, surroundingsOf(station)));
  return ask(`/workflows/${id}/execute`, body, key, promiseOf(plot));

  async function ask(path: string, sent: object, idempotencyKey: string, promise: Foretold): Promise<string> {
    const answer = accepted(await api.post(path, sent, { 'idempotency-key': idempotencyKey }), 202);
    const runId = field(answer, 'execution_id');
    promised.push({ idempotencyKey, runIds: [runId], cancelled: false, retried: false, ...promise });
    return runId;
  }
}

/** Answers that wait until they are told, in the order of the calls. */
function answersByHand(station: Station): {
  until(calls: number): Promise<void>;
  give(nth: number, status: number): void;
} {
  const given: Array<(answer: { status: number }) => void> = [];
  station.service.answer(
    () =>
      new Promise((resolve) => {
        given.push(resolve);
      }),
  );
  return {
    async until(calls) {
      await until(() => given.length >= calls, { what: `call number ${calls} is made` });
    },
    give(nth, status) {
      given[nth - 1]?.({ status });
    },
  };
}

/** The worker that has the task, once it has said so. */
async function holderOf({ db, workers }: Station, runId: string, actionId: string): Promise<Child> {
  const children = await Promise.all(workers.map(({ process }) => process.child()));
  return until(
    async () => {
      const { rows } = await db.query<{ worker: string }>(
        `SELECT worker FROM task WHERE run_id = $1 AND action_id = $2 AND status = 'running'`,
        [runId, actionId],
      );
      return children.find(({ pid }) => rows[0]?.worker.endsWith(`:${pid}`));
    },
    { what: 'a worker says that it has the task' },
  );
}

/** How often a worker has kept a failure to itself, or had it refused. */
function heldBack({ counted }: Station): number {
  return counted('commit_refused') + counted('outcome_left');
}

async function hasCompleted({ db }: Station, runId: string, actionId: string): Promise<boolean> {
  const { rows } = await db.query(`SELECT 1 FROM task WHERE run_id = $1 AND action_id = $2 AND status = 'completed'`, [
    runId,
    actionId,
  ]);
  return rows.length > 0;
}

function during(what: string, from: number): Disturbance {
  return { what, from, to: Date.now(), repeatsWork: true, holdsWork: true };
}

/** A worker sleeps past its lock; another does its task; the sleeper wakes with a failure while the run goes on. */
export async function sleeperWakesAfterTheEnd(watched: Watched): Promise<void> {
  const { station } = watched;
  const answers = answersByHand(station);
  const run = await execute(watched, ONE_THEN_ANOTHER, 'sleeper-after');
  await answers.until(1);
  const sleeper = await holderOf(station, run, 'first');
  const from = Date.now();
  sleeper.signal('SIGSTOP');
  await answers.until(2);
  answers.give(2, 200);
  await answers.until(3);
  await watched.watch.look();
  const before = heldBack(station);
  answers.give(1, 503);
  sleeper.signal('SIGCONT');
  watched.disturbances.push(during('stop_worker', from));
  await until(async () => heldBack(station) > before || !(await hasCompleted(station, run, 'first')), {
    what: 'the sleeper has said what it has',
  });
  await watched.watch.look();
  answers.give(3, 200);
  station.service.answer(async () => undefined);
}

/** The same, but the sleeper wakes while the other worker is still at it. */
export async function sleeperWakesMeanwhile(watched: Watched): Promise<void> {
  const { station } = watched;
  const answers = answersByHand(station);
  const run = await execute(watched, ONE_THEN_ANOTHER, 'sleeper-meanwhile');
  await answers.until(1);
  const sleeper = await holderOf(station, run, 'first');
  const from = Date.now();
  sleeper.signal('SIGSTOP');
  await answers.until(2);
  const before = heldBack(station);
  answers.give(1, 503);
  sleeper.signal('SIGCONT');
  watched.disturbances.push(during('stop_worker', from));
  const hasFailed = async () => {
    const sql = `SELECT 1 FROM attempt WHERE run_id = $1 AND status = 'failed'`;
    return (await station.db.query(sql, [run])).rows.length > 0;
  };
  await until(async () => heldBack(station) > before || (await hasFailed()), {
    what: 'the sleeper has said what it has',
  });
  station.service.answer(async () => undefined);
  answers.give(2, 200);
}

/** A worker commits, and dies before it can say so in the queue. */
export async function killedBetweenCommitAndAcknowledgement(watched: Watched): Promise<void> {
  const { station } = watched;
  const answers = answersByHand(station);
  const run = await execute(watched, ONE_THEN_ANOTHER, 'killed');
  await answers.until(1);
  const holder = await holderOf(station, run, 'first');
  const from = Date.now();
  const queues = station.workers.flatMap(({ proxies }) => proxies.slice(1));
  await Promise.all(queues.map((proxy) => proxy.shut()));
  answers.give(1, 200);
  await until(() => hasCompleted(station, run, 'first'), { what: 'the result is committed' });
  holder.signal('SIGKILL');
  await holder.ended;
  watched.disturbances.push({ ...during('kill_worker', from), holdsWork: false });
  await sleep(LONG_AFTER_MS);
  station.service.answer(async () => undefined);
  await Promise.all(queues.map((proxy) => proxy.open()));
}

/** The queue forgets everything while a task is under way. */
export async function queueForgets(watched: Watched): Promise<void> {
  const { station } = watched;
  const answers = answersByHand(station);
  await execute(watched, ONE_THEN_ANOTHER, 'forgotten');
  await answers.until(1);
  const from = Date.now();
  await station.redisClient?.flushall();
  station.service.answer(async () => undefined);
  answers.give(1, 200);
  watched.disturbances.push({ ...during('redis_flush', from), holdsWork: false });
}

/** A graph whose joins hold each other up. */
export async function crossedGraph(watched: Watched): Promise<void> {
  await execute(watched, CROSSED, 'crossed');
}

/** A run is cancelled before it has begun. */
export async function cancelledBeforeItBegins(watched: Watched): Promise<void> {
  const run = await execute(watched, CROSSED, 'cancelled', { delay_seconds: 600 });
  for (const promise of watched.promised) promise.cancelled = true;
  accepted(await openClient(watched.station.apiUrl).post(`/workflows/executions/${run}/cancel`, {}), 202);
}

/** A client repeats a request whose answer it did not get. */
export async function requestIsRepeated(watched: Watched): Promise<void> {
  const { station, promised } = watched;
  const api = openClient(station.apiUrl);
  const id = await api.createWorkflow(definitionOf(ONE_THEN_ANOTHER, surroundingsOf(station)));
  const runIds: string[] = [];
  for (let n = 0; n < 2; n += 1) {
    const answer = accepted(await api.post(`/workflows/${id}/execute`, {}, { 'idempotency-key': 'repeated' }), 202);
    runIds.push(field(answer, 'execution_id'));
  }
  promised.push({
    idempotencyKey: 'repeated',
    runIds,
    cancelled: false,
    retried: false,
    ...promiseOf(ONE_THEN_ANOTHER),
  });
}
