/**
 * What nobody foresaw: the database answers, and rejects what the engine says. Each such fault is named with its class
 * wherever somebody would look, nothing is accepted that could not be committed, and all of it ends by itself.
 */
import { describe, expect } from 'vitest';
import { examine } from '../../src/compose/doctor.ts';
import { loadConfig } from '../../src/config/config.ts';
import { openBackend } from '../../src/queue/open-backend.ts';
import { engineHealth } from '../../src/schemas/engine-health.ts';
import { systemHealth } from '../../src/schemas/service-answers.ts';
import { whyOfLane, whyOfRun } from '../../src/schemas/why.ts';
import type { Client } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

/** Until it has to be named. */
const NAMED = { timeoutMs: 15_000 };

const systemProblems = async (api: Client, tenant = 'default') =>
  systemHealth.parse((await api.get('/health/system', { 'X-Tenant-ID': tenant })).body).problems;
const engineReport = async (api: Client) => engineHealth.parse((await api.get('/workflows/health')).body);
const why = async (api: Client, id: string, tenant = 'default') =>
  whyOfRun.parse((await api.get(`/executions/${id}/why`, { 'X-Tenant-ID': tenant })).body);

/** Healthy, and without a problem; the answer says what is left. */
async function isWell({ api, log }: Stack): Promise<void> {
  let last: unknown;
  await until(async () => {
    last = [(await engineReport(api)).problems, await systemProblems(api)];
    return JSON.stringify(last) === '[[],[]]';
  }).catch((cause: unknown) => {
    throw new Error(`what is left: ${JSON.stringify(last)}`, { cause });
  });
  expect((await api.get('/health')).body).toMatchObject({ status: 'healthy', problems: [] });
  // The nets may have caught something: this was a fault.
  log.takeAlarms();
}

async function findings(stack: Stack) {
  const config = loadConfig(stack.environment, { cwd: stack.folder });
  const found = await examine({ config, databaseUrl: stack.databaseUrl, repair: false, days: 1, confirmMs: 10 });
  return new Map(found.map((finding) => [finding.check, finding]));
}

/** Two of those that the fault holds: on a slow machine some may have ended before it. */
async function notEnded({ db }: Stack, runs: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'SELECT id FROM run WHERE id = ANY ($1) AND NOT final ORDER BY id DESC LIMIT 2',
    [runs],
  );
  expect(rows).toHaveLength(2);
  return rows.map(({ id }) => id);
}

/** Each has one task whose outcome comes while the fault is there, and one that is delivered then. */
async function underWay(api: Client, count: number): Promise<string[]> {
  const id = await api.createWorkflow(
    workflow(
      [echo('first', [], { duration: 4 }), echo('second', ['first'])].map((one) => ({
        ...one,
        retry: { max_attempts: 1 },
      })),
    ),
  );
  return Promise.all(Array.from({ length: count }, () => api.execute(id)));
}

const FAULTS = [
  {
    what: 'a table that was renamed',
    breaks: 'ALTER TABLE task RENAME TO task_away',
    mends: 'ALTER TABLE task_away RENAME TO task',
    of: '42P01',
    says: /relation "task" does not exist/,
  },
  {
    what: 'a column that only a commit needs',
    breaks: 'ALTER TABLE task RENAME COLUMN commit_id TO commit_id_away',
    mends: 'ALTER TABLE task RENAME COLUMN commit_id_away TO commit_id',
    of: '42703',
    says: /commit_id/,
  },
];

describe.each(onBothBackends({ worker: { WORKER_CONCURRENCY: '4' } }))(
  'a database that rejects, on $backend',
  ({ test }) => {
    for (const { what, breaks, mends, of, says } of FAULTS) {
      test(`${what} is named everywhere, stops acceptance, and ends by itself with nothing lost`, async ({
        stack,
        api,
        db,
      }) => {
        const runs = await underWay(api, 8);
        await until(async () => (await api.execution(runs[0] ?? '')).status === 'running');
        await db.query(breaks);
        try {
          await until(async () => (await api.get('/ready')).status === 503, NAMED);
          expect((await api.get('/ready')).body).toMatchObject({
            ready: false,
            status: 'unusable',
            problem: { code: 'database_not_usable', class: of },
          });
          expect((await api.get('/livez')).status).toBe(200);
          const refused = await api.post('/assign-task', { task_type: 'test_task' });
          expectProblem(refused, 503, 'database_not_usable');
          expect(refused.text).toContain(of);
          expect(refused.text).not.toMatch(says);
          expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);

          await until(async () => (await api.get('/health')).status === 503, NAMED);
          expect((await api.get('/health')).body).toMatchObject({
            status: 'unhealthy',
            database: 'connected',
            problems: expect.arrayContaining(['database_not_usable']),
          });
          // Both are kept for a second, and may be from when only single statements had failed.
          const names = (line: string) => line.startsWith('database_not_usable') && says.test(line);
          await until(async () => (await engineReport(api)).problems.some(names), NAMED);
          expect(await engineReport(api)).toMatchObject({ status: 'unhealthy', database_connected: true });
          await until(
            async () => (await systemProblems(api)).some(({ code }) => code === 'database_not_usable'),
            NAMED,
          );
          expect(await systemProblems(api)).toContainEqual(
            expect.objectContaining({ code: 'database_not_usable', message: expect.stringMatching(says) }),
          );
          const told = await systemProblems(api, 'acme');
          expect(told).toContainEqual(
            expect.objectContaining({ code: 'database_not_usable', message: expect.stringContaining(of) }),
          );
          expect(JSON.stringify(told)).not.toMatch(says);
          for (const run of await notEnded(stack, runs)) {
            expect((await why(api, run)).root).toMatchObject({
              cause: { code: 'database_not_usable', class: of, error: expect.stringMatching(says) },
              since: expect.any(String),
              what_must_happen: expect.stringContaining('npm run migrate'),
            });
          }
          const lane = whyOfLane.parse((await api.get('/lanes/test_task/why')).body);
          expect(lane).toMatchObject({ status: 'held' });
          expect(lane.problems.map(({ code }) => code)).toContain('database_not_usable');
          expect((await findings(stack)).get('write_path')).toMatchObject({
            status: 'problem',
            message: expect.stringMatching(says),
          });
          const metrics = (await api.get('/metrics')).text;
          expect(metrics).toMatch(/^orchestrator_database_usable\{[^}]*\} 0$/m);
          expect(metrics).toMatch(new RegExp(`^orchestrator_fault_seconds\\{[^}]*class="${of}"`, 'm'));
        } finally {
          await db.query(mends);
        }
        await until(async () => (await api.get('/ready')).status === 200, NAMED);
        for (const run of runs) {
          expect(await api.finished(run)).toMatchObject({
            status: 'completed',
            tasks: [{ attempts: 1 }, { attempts: 1 }],
          });
        }
        await isWell(stack);
        expect((await findings(stack)).get('write_path')).toMatchObject({ status: 'ok' });
      });
    }

    test('a database that has become read-only is named, and ends by itself', async ({ stack, api, db }) => {
      const runs = await underWay(api, 4);
      const { rows } = await db.query<{ name: string }>('SELECT quote_ident(current_database()) AS name');
      const name = rows[0]?.name ?? '';
      const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'orchestrator%'`;
      await db.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
      try {
        await db.query(others);
        await until(async () => (await api.get('/ready')).status === 503, NAMED);
        expectProblem(await api.post('/assign-task', { task_type: 'test_task' }), 503, 'database_not_usable');
        const [held = ''] = await notEnded(stack, runs);
        await until(async () => (await why(api, held)).root.cause.code === 'database_not_usable', NAMED);
        expect(await systemProblems(api)).toContainEqual(
          expect.objectContaining({
            code: 'database_not_usable',
            message: expect.stringContaining('25006, the database is read-only'),
          }),
        );
      } finally {
        await db.query('SET default_transaction_read_only = off');
        await db.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
      }
      await until(async () => (await api.get('/ready')).status === 200, NAMED);
      for (const run of runs) expect(await api.finished(run)).toMatchObject({ status: 'completed' });
      await isWell(stack);
    });

    test('what one lane needs is rejected: its deliveries are named, cost no attempt and are no poison, and others go on', async ({
      stack,
      api,
      db,
    }) => {
      const id = await api.createWorkflow(
        workflow([
          { action_id: 'ask', action_type: 'external', config: { topic: 'faults' }, retry: { max_attempts: 1 } },
        ]),
      );
      await db.query('ALTER TABLE external_task RENAME TO external_task_away');
      const run = await api.execute(id);
      try {
        const named = async () =>
          (await systemProblems(api)).find(({ message }) =>
            message.includes('relation "external_task" does not exist'),
          );
        // However long it takes: each delivery comes at once.
        await promoting(stack, 'external', async () => putOff(stack) >= 12 && (await named()) !== undefined);
        expect(delays(stack).slice(0, 6)).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        expect(await why(api, run)).toMatchObject({ root: { cause: { class: '42P01' } } });
        expect(await api.ended(await api.assign({ task_type: 'test_task' }))).toMatchObject({ status: 'completed' });
        expect((await api.get('/ready')).status).toBe(200);
      } finally {
        await db.query('ALTER TABLE external_task_away RENAME TO external_task');
      }
      const polled = await until(async () => {
        const { body } = await api.post('/tasks/poll', { topic: 'faults', worker_id: 'outside', wait_seconds: 5 });
        return (body as { tasks: Array<{ task_id: string; lease_token: string }> }).tasks[0];
      });
      await api.post(`/tasks/${polled.task_id}/complete`, { lease_token: polled.lease_token, output: {} });
      expect(await api.finished(run)).toMatchObject({ status: 'completed', tasks: [{ attempts: 1 }] });
      await isWell(stack);
    });
  },
);

/** How long it was before it came back, each time. */
const delays = ({ log }: Stack) =>
  log.lines.flatMap(({ event, fields }) =>
    event === 'job_put_off' && JSON.stringify(fields).includes('"external"')
      ? [Number((fields as { delay_ms: number }).delay_ms)]
      : [],
  );
const putOff = (stack: Stack) => delays(stack).length;

/** What sleeps in that lane is woken until it is so. */
async function promoting(stack: Stack, lane: string, condition: () => Promise<boolean>): Promise<void> {
  const { redisUrl, databaseUrl, queuePrefix: prefix, log } = stack;
  const redis = redisUrl === undefined ? undefined : ({ kind: 'one', url: redisUrl } as const);
  const backend = openBackend({ redis, databaseUrl, prefix, offlineCommands: 'wait', name: 'test', log });
  const queue = backend.queue(lane);
  try {
    await until(async () => {
      await queue.promoteJobs();
      return condition();
    });
  } finally {
    await queue.close();
    await backend.close();
  }
}
