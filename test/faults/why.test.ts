/** I14: each fault is injected for real, and `/why` of the run that it holds up names it. */
import { Redis } from 'ioredis';
import pg from 'pg';
import { describe, expect } from 'vitest';
import { systemHealth } from '../../src/schemas/service-answers.ts';
import { type WhyOfRun, whyOfLane, whyOfRun } from '../../src/schemas/why.ts';
import { accepted, type Client, field, list } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { take } from '../support/external-worker.ts';
import { type Processes, processesTest } from '../support/processes.ts';
import { echo, type TestAction, workflow } from '../support/test-task.ts';

/** It takes half a minute where nothing else runs. */
const PATIENCE_MS = 300_000;
const WINDOW = 26;
/** Of one attempt: what is delivered oftener may be what ends its workers. */
const UNSUSPECTED_DELIVERIES = 3;
/** Of W1, which lives through all of it. Nobody serves `notification`, and `test_fault` is left to those that are killed. */
const LANES = 'test_task,wait,approval,signal,external,http_request,service_call,workflow,transform';
const ENVIRONMENT = { ADMISSION_WINDOW: String(WINDOW), SERVICE_RATE_LIMITS: 'slow=1/600s' };
const NEVER = { max_attempts: 5, backoff: 'fixed', initial_delay_seconds: 600 };

const sleeping = { action_id: 'sleep', action_type: 'wait', config: { seconds: 600 } };
const busy = echo('busy', [], { duration: 600, report_steps: 1000 }, { timeout_seconds: 900 });
const call = (service: string, more: object = {}, retry: object = NEVER): TestAction => ({
  action_id: 'call',
  action_type: 'service_call',
  config: { service, endpoint: '/', method: 'GET', ...more },
  retry,
});

async function begin(api: Client, actions: readonly TestAction[], more: object = {}, body: object = {}) {
  return api.execute(await api.createWorkflow(workflow(actions, more)), body);
}

async function why(api: Client, run: string): Promise<WhyOfRun> {
  return whyOfRun.parse(accepted(await api.get(`/executions/${run}/why`), 200).body);
}

/** Waits until that is the root cause, and tells what it is otherwise. */
async function cause(api: Client, run: string, code: string, data: object = {}): Promise<WhyOfRun> {
  let last: WhyOfRun | undefined;
  try {
    await until(async () => {
      last = await why(api, run);
      return last.root.cause.code === code;
    });
  } catch (error) {
    throw new Error(`not ${code}, but ${JSON.stringify(last, null, 2)}`, { cause: error });
  }
  const found = last as WhyOfRun; // It was just read.
  expect(found.root.cause).toMatchObject({ code, ...data });
  expect(found.root.cause.message).not.toBe('');
  expect(found.root.what_must_happen).not.toBe('');
  expect(found).toMatchObject({ execution_id: run, finished: false });
  expect(found.summary).toContain(found.root.cause.message);
  return found;
}

interface QueueFaults {
  /** Takes the locks of the jobs of that lane from whoever holds them: they are delivered again. */
  unlock(place: Processes, lane: string): Promise<void>;
  /** Keeps everybody from the queue, while PostgreSQL answers for the rest, until the returned function is called. */
  block(place: Processes): Promise<() => Promise<void>>;
  /** What that is called for a run, and for the system. */
  blockedAs: { code: string; data: object };
  lose(place: Processes): Promise<void>;
}

async function onRedis(place: Processes, work: (redis: Redis) => Promise<unknown>): Promise<void> {
  const redis = new Redis(place.ownRedis().url, { connectionName: 'test' });
  try {
    await work(redis);
  } finally {
    redis.disconnect();
  }
}

async function blocker({ databaseUrl }: Processes): Promise<pg.Client> {
  const holder = new pg.Client({ connectionString: databaseUrl, application_name: 'backup' });
  await holder.connect();
  await holder.query('BEGIN');
  return holder;
}
const HELD_BY_BLOCKER = { held_by: [expect.stringMatching(/^backup \(pid \d+\)$/)] };

const REDIS: QueueFaults = {
  unlock: (place, lane) =>
    onRedis(place, async (redis) => {
      for (const key of await redis.keys(`${place.queuePrefix}:${lane}:*:lock`)) await redis.del(key);
    }),
  async block(place) {
    const { pid = 0 } = place.ownRedis();
    process.kill(pid, 'SIGSTOP');
    return async () => void process.kill(pid, 'SIGCONT');
  },
  blockedAs: { code: 'queue_unreachable', data: {} },
  lose: (place) => onRedis(place, (redis) => redis.flushall()),
};

/**
 * The queue is in the database of the runs. So no server of the queue stands still while the other one answers: with it
 * goes the truth, and nobody can be asked why (`test/operations/database.test.ts`). What can be is that somebody holds the
 * tables of the queue alone, who is then named. Nor can that server be full, or take no writes, by itself.
 */
const POSTGRES: QueueFaults = {
  async unlock({ db }, lane) {
    await db.query(
      `UPDATE bullmq.job SET lock_token = NULL, locked_until_ms = 0 WHERE state = 'active' AND queue = $1`,
      [lane],
    );
  },
  async block(place) {
    const holder = await blocker(place);
    await holder.query('LOCK TABLE bullmq.job IN ACCESS EXCLUSIVE MODE');
    return () => holder.end();
  },
  blockedAs: { code: 'database_blocked', data: HELD_BY_BLOCKER },
  lose: async ({ db }) => void (await db.query('DELETE FROM bullmq.job')),
};

describe.each([
  {
    backend: 'redis',
    faults: REDIS,
    test: processesTest('redis', { ownRedis: true, environment: ENVIRONMENT }),
  },
  { backend: 'postgres', faults: POSTGRES, test: processesTest('postgres', { environment: ENVIRONMENT }) },
])('why a run is stuck, on $backend', ({ faults, test }) => {
  test(
    'each of many faults is named with its data, from its injection to its end',
    async ({ processes, api, service, db }) => {
      service.answer(() => ({ status: 503, body: { busy: true } }));
      await Promise.all([processes.compose('api'), processes.start('worker', { WORKER_LANES: LANES })]);
      const ready = await waits(api, service.url);
      await locked(processes, api);
      await window(api);
      await workers(processes, api, faults);
      await queue(processes, api, faults, ready.nobody);
      await rest(processes, api, db);
    },
    PATIENCE_MS,
  );
});

/** What waits for people, time, services and other runs. */
async function waits(api: Client, url: string): Promise<{ nobody: string }> {
  for (const name of ['failing', 'waited', 'slow']) {
    const breaker = { failure_threshold: name === 'slow' ? 100 : 1, recovery_timeout: 600 };
    accepted(await api.post('/registry/register', { name, base_url: url, breaker }), 200);
  }
  const asks = { action_id: 'ask', action_type: 'approval', config: { message: 'Pay?', approvers: ['anna'] } };
  const approval = await begin(api, [asks, echo('after', ['ask'])]);
  const found = await cause(api, approval, 'approval', { approvers: ['anna'], asked: 'Pay?', deadline: null });
  expect(found.tasks.map(({ action_id, cause: { code } }) => [action_id, code])).toEqual([
    ['ask', 'approval'],
    ['after', 'dependencies'],
  ]);
  expect(found.tasks[1]?.cause).toMatchObject({ waits_for: ['ask'] });
  expectProblem(await api.get(`/executions/${approval}/why`, { 'x-tenant-id': 'other' }), 404, 'not_found');
  const same = accepted(await api.get(`/workflows/executions/${approval}/why`), 200).body;
  expect(whyOfRun.parse(same).root.cause).toMatchObject({ code: 'approval' });

  const signal = await begin(api, [{ action_id: 's', action_type: 'signal', config: { name: 'paid' } }]);
  await cause(api, signal, 'signal', { signal: 'paid' });

  const timer = await cause(api, await begin(api, [sleeping]), 'timer');
  expect(Date.parse(timer.root.expected_at ?? '') - Date.parse(timer.observed_at)).toBeGreaterThan(500_000);

  const get = { action_id: 'get', action_type: 'http_request', config: { url }, retry: NEVER };
  const retrying = await cause(api, await begin(api, [get]), 'retrying', {
    attempt: 1,
    next_attempt: 2,
    max_attempts: 5,
  });
  expect(retrying.root.cause).toMatchObject({ error: { message: expect.stringContaining('503') } });
  expect(Date.parse(retrying.root.expected_at ?? '') - Date.parse(retrying.observed_at)).toBeGreaterThan(300_000);

  await cause(api, await begin(api, [call('failing')]), 'retrying');
  await cause(api, await begin(api, [call('failing')]), 'circuit_open', {
    service: 'failing',
    policy: 'fail',
    state: 'open',
  });
  await cause(api, await begin(api, [call('waited')]), 'retrying');
  const open = await cause(api, await begin(api, [call('waited', { on_circuit_open: 'wait' })]), 'circuit_open', {
    policy: 'wait',
  });
  expect(open.root.expected_at).not.toBeNull();

  await cause(api, await begin(api, [call('slow')]), 'retrying');
  await cause(api, await begin(api, [call('slow')]), 'service_turn', { service: 'slow' });

  const grouped = await api.createWorkflow(
    workflow([sleeping], { concurrency: { key: 'one', limit: 1, policy: 'queue' } }),
  );
  const holder = await api.execute(grouped);
  await cause(api, holder, 'timer');
  await cause(api, await api.execute(grouped), 'concurrency', { key: 'one', limit: 1, holders: [holder], ahead: 0 });

  const paused = await begin(api, [sleeping]);
  accepted(await api.post(`/workflows/executions/${paused}/pause`, { reason: 'audit' }), 202);
  await cause(api, paused, 'run_paused', { by: 'anonymous', reason: 'audit' });

  accepted(await api.post('/lanes/transform/pause', { reason: 'too hot' }), 202);
  const held = await begin(api, [{ action_id: 't', action_type: 'transform', config: { expression: '1' } }]);
  await cause(api, held, 'lane_paused', { lane: 'transform', by: 'anonymous', reason: 'too hot' });
  const lane = whyOfLane.parse(accepted(await api.get('/lanes/transform/why'), 200).body);
  expect(lane).toMatchObject({ lane: 'transform', status: 'held', paused: true, problems: [{ code: 'lane_paused' }] });
  expectProblem(await api.get('/lanes/nothing/why'), 404, 'not_found');

  const nobody = await begin(api, [{ action_id: 'n', action_type: 'notification', config: { message: 'hi' } }]);
  await cause(api, nobody, 'lane_without_worker', { lane: 'notification', workers: 0 });

  const outside = { action_id: 'x', action_type: 'external', config: { topic: 'resize', input: {} } };
  const external = await begin(api, [outside]);
  await cause(api, external, 'external_no_worker', { topic: 'resize', deliveries: 0 });
  await take(api, 'resize', { worker: 'py-1', lease: 300 });
  await cause(api, external, 'external_leased', { topic: 'resize', worker_id: 'py-1' });

  const below = await api.createWorkflow(workflow([asks]));
  const parent = await begin(api, [{ action_id: 'c', action_type: 'workflow', config: { workflow_id: below } }]);
  await until(async () => JSON.stringify((await why(api, parent)).root).includes('"approval"'));
  await cause(api, parent, 'child_run', { child: { root: { cause: { code: 'approval', approvers: ['anna'] } } } });

  await cause(api, await begin(api, [echo('later', [], {}, { delay_seconds: 600 })]), 'delay', { delay_seconds: 600 });
  await cause(api, await begin(api, [echo('x')], {}, { delay_seconds: 600 }), 'run_delayed');
  await cause(api, await begin(api, [busy]), 'running', {
    attempt: 1,
    timeout_seconds: 900,
    worker: expect.any(String),
  });
  return { nobody };
}

/** Somebody holds a lock that every outcome needs. */
async function locked(processes: Processes, api: Client): Promise<void> {
  const holder = await blocker(processes);
  try {
    await holder.query('LOCK TABLE task IN EXCLUSIVE MODE');
    const run = await begin(api, [echo('quick')]);
    await cause(api, run, 'database_blocked', HELD_BY_BLOCKER);
    await holder.query('LOCK TABLE task IN ACCESS EXCLUSIVE MODE');
    await cause(api, run, 'database_blocked');
    await holder.query('ROLLBACK');
    await api.ended(run);
    const ended = await why(api, run);
    expect(ended).toMatchObject({ finished: true, root: { cause: { code: 'completed' } }, tasks: [] });
  } finally {
    await holder.end();
  }
}

/** As many runs are in the queue as may be. */
async function window(api: Client): Promise<void> {
  // They are at work: those that sleep leave the window.
  const id = await api.createWorkflow(workflow([busy]));
  const many = await api.post(`/workflows/${id}/executions`, { items: Array.from({ length: WINDOW }, () => ({})) });
  expect(list(accepted(many, 202))).toHaveLength(WINDOW);
  const run = await api.execute(id);
  const found = await cause(api, run, 'admission_window', { window: WINDOW });
  expect(found.root.cause['ahead']).toBeGreaterThan(0);
  const cancelled = await api.post('/executions/bulk/cancel', { filter: { workflow_id: id }, reason: 'enough' });
  accepted(cancelled, 202);
  await api.ended(run);
  expect(await why(api, run)).toMatchObject({
    finished: true,
    root: { cause: { code: 'cancelled', reason: 'enough' } },
  });
}

/** A task stalls so often that it may be the reason, and then its worker is stopped and killed. */
async function workers(processes: Processes, api: Client, { unlock }: QueueFaults): Promise<void> {
  const run = await begin(api, [
    { action_id: 'f', action_type: 'test_fault', config: { deaf_seconds: 600 }, timeout_seconds: 900 },
  ]);
  await cause(api, run, 'lane_without_worker', { lane: 'test_fault' });
  const worker = await processes.start('worker', { WORKER_LANES: 'test_fault' });
  await cause(api, run, 'running');
  // No oftener than it takes: after some more it would be given up.
  const delivered = async () => {
    const { rows } = await processes.db.query<{ deliveries: number }>('SELECT deliveries FROM task WHERE run_id = $1', [
      run,
    ]);
    return rows[0]?.deliveries ?? 0;
  };
  await until(async () => {
    if ((await delivered()) > UNSUSPECTED_DELIVERIES) return true;
    await unlock(processes, 'test_fault');
    return false;
  });
  await cause(api, run, 'suspected_poison', { isolated: true, max_deliveries: 10 });
  worker.signal('SIGSTOP');
  await cause(api, run, 'worker_lost', { other_workers: 0, lock_until: null });
  await worker.end('SIGKILL');
  await cause(api, run, 'worker_lost', { other_workers: 0, lock_until: null });
}

/** Nobody gets at the queue, and then it has lost everything while no reconciler runs. */
async function queue(processes: Processes, api: Client, faults: QueueFaults, run: string): Promise<void> {
  const { code, data } = faults.blockedAs;
  const unblock = await faults.block(processes);
  try {
    await cause(api, run, code, data);
    const health = systemHealth.parse((await api.get('/health/system')).body);
    expect(health.problems.map((problem) => problem.code)).toContain(code);
  } finally {
    await unblock();
  }
  await cause(api, run, 'lane_without_worker');
  const [steady] = processes.children.filter(({ kind, isAlive }) => kind === 'worker' && isAlive());
  expect(await steady?.end('SIGTERM')).toBe(0);
  await processes.db.query('DELETE FROM worker'); // Of those that were killed; it would be found out after a while.
  await cause(api, run, 'no_worker');
  await faults.lose(processes);
  await cause(api, run, 'jobs_missing', { action_id: 'n', job_state: 'missing', reconciler_runs: false });
}

/** A worker that serves everything finds what was lost, and all of it can be ended. */
async function rest({ start }: Processes, api: Client, db: pg.Pool): Promise<void> {
  accepted(await api.post('/lanes/transform/resume'), 202);
  await start('worker');
  const { rows } = await db.query<{ id: string }>('SELECT id FROM run WHERE NOT final');
  for (const { id } of rows) await api.post(`/workflows/executions/${id}/cancel`, { reason: 'over' });
  await until(async () => (await db.query('SELECT 1 FROM run WHERE NOT final')).rowCount === 0);
  const [first] = rows;
  const found = await why(api, first?.id ?? '');
  expect(found.root.cause).toMatchObject({ code: 'cancelled', by: 'anonymous', reason: 'over' });
  expect(field(await api.get(`/executions/${first?.id}/why`), 'status')).toBe('cancelled');
}
