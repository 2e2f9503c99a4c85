/** `npm run doctor`: each thing that is broken is named, repaired where that is safe, and then gone. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { Queue } from 'bullmq';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { examine } from '../../src/compose/doctor.ts';
import { environmentWith, loadConfig } from '../../src/config/config.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { projectRoot } from '../../src/project-root.ts';
import { systemHealth } from '../../src/schemas/service-answers.ts';
import { keysOf } from '../harness/checker/at-rest.ts';
import { type Client, openClient } from '../harness/client/client.ts';
import type { Environment } from '../harness/processes/process.ts';
import { until } from '../harness/until.ts';
import { openStack, type Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

let stack: Stack;
let worker: { stop(): Promise<void> };

beforeAll(async () => {
  stack = await openStack('redis', { workers: 0 });
  worker = await stack.add('worker');
});
afterAll(() => stack.stop());

async function doctor(repair = false, environment: Environment = {}): Promise<Map<string, Finding>> {
  const config = loadConfig({ ...stack.environment, ...environment }, { cwd: stack.folder });
  const findings = await examine({ config, databaseUrl: stack.databaseUrl, repair, days: 7, confirmMs: 50 });
  return new Map(findings.map((finding) => [finding.check, finding]));
}

/** Without what is said of the servers that all tests share, and of workers that were stopped. */
function wrong(findings: ReadonlyMap<string, Finding>): string[] {
  const shared = /^(redis|postgres)_|^clock_|^disk$|^workers$|^sweep$/;
  return [...findings.values()]
    .filter(({ check, status }) => status !== 'ok' && !shared.test(check))
    .map(({ check }) => check)
    .sort();
}

function queueOf(name: string): Queue {
  const url = new URL(stack.redisUrl ?? '');
  const connection = { host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1)) };
  return new Queue(name, { connection, prefix: stack.queuePrefix });
}

function program(args: readonly string[], environment: Record<string, string>) {
  const file = path.join(projectRoot(), 'dist', 'bin', 'doctor.js');
  return spawnSync(process.execPath, [file, ...args], {
    ...{ cwd: stack.folder, encoding: 'utf8', timeout: 30_000 },
    env: environmentWith({ ...stack.environment, VITEST: undefined, ...environment }),
  });
}

describe('the doctor', () => {
  test('finds nothing wrong where all is well, and says so in words and as JSON', async () => {
    const { api } = stack;
    await api.run(workflow([echo('a'), echo('b', ['a']), echo('c', ['a']), echo('d', ['b', 'c'])]));
    await until(async () => (await doctor()).get('sweep')?.status === 'ok');
    const found = await doctor();
    expect(wrong(found)).toEqual([]);
    expect(found.get('workers')).toMatchObject({ status: 'ok', message: '1 workers are alive' });
    expect(found.get('postgres_fsync')?.message).toMatch(/^fsync is o/);
    const told = program(['--json'], {});
    expect(told.stderr).toBe('');
    const report = JSON.parse(told.stdout) as { exit_code: number; findings: Finding[] };
    expect(told.status).toBe(report.exit_code);
    expect(report.findings.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['configuration', ...found.keys()]),
    );
    const words = program([], { ADMISSION_WINDOW: 'many', HOST: '0.0.0.0' });
    expect(words.status).toBe(2);
    expect(words.stdout).toMatch(/^✗ configuration: .*ADMISSION_WINDOW/m);
    expect(program(['--mend'], {})).toMatchObject({ status: 64, stdout: '' });
  });

  test('names migrations that are missing, and those that are newer than the program', async () => {
    const { db } = stack;
    const { rows } = await db.query<{ name: string }>('SELECT max(migration_name) AS name FROM _prisma_migrations');
    const last = rows[0]?.name ?? '';
    await db.query('UPDATE _prisma_migrations SET migration_name = $2 WHERE migration_name = $1', [last, 'later']);
    try {
      const found = await doctor();
      expect(found.get('migrations')).toMatchObject({
        status: 'problem',
        ids: [last],
        total: 1,
        whatToDo: 'npm run migrate',
      });
      expect(found.get('schema_is_newer')).toMatchObject({ status: 'warning', ids: ['later'] });
      expect(found.has('runs_have_jobs'), 'nothing else is asked of a schema that may be another').toBe(false);
    } finally {
      await db.query('UPDATE _prisma_migrations SET migration_name = $1 WHERE migration_name = $2', [last, 'later']);
    }
  });

  test('and the health of the system say why the second wall between tenants does not stand', async () => {
    const { api, db } = stack;
    const problemsOf = async (client: Client) => {
      const { problems } = systemHealth.parse((await client.get('/health/system')).body);
      return problems.filter(({ code }) => code === 'row_level_security_off').map(({ message }) => message);
    };
    const withoutWall = async (environment: Environment) => {
      const other = await stack.add('api', environment);
      const [told, found] = await Promise.all([
        problemsOf(openClient(`http://127.0.0.1:${other.port}`)),
        doctor(false, environment),
      ]);
      await other.stop();
      return { told, found: found.get('row_level_security') };
    };
    expect((await doctor()).get('row_level_security')).toMatchObject({ status: 'ok' });
    expect(await problemsOf(api)).toEqual([]);
    const turnedOff = await withoutWall({ ROW_LEVEL_SECURITY: 'off' });
    expect(turnedOff.found).toMatchObject({ status: 'warning', message: 'ROW_LEVEL_SECURITY is off' });
    expect(turnedOff.told).toEqual([expect.stringContaining('ROW_LEVEL_SECURITY is off')]);
    await db.query('ALTER TABLE document DISABLE ROW LEVEL SECURITY');
    try {
      const open = await withoutWall({});
      expect(open.found).toMatchObject({ status: 'warning', message: 'tables have no policy: document' });
      expect(open.told).toEqual([expect.stringContaining('tables have no policy: document')]);
    } finally {
      await db.query('ALTER TABLE document ENABLE ROW LEVEL SECURITY');
    }
  });

  test('names stores that do not answer', async () => {
    const config = loadConfig({ ...stack.environment, REDIS_URL: 'redis://127.0.0.1:9/0' }, { cwd: stack.folder });
    const databaseUrl = 'postgresql://nobody:x@127.0.0.1:9/none';
    const found = await examine({ config, databaseUrl, repair: false, days: 7 });
    const problems = found.filter(({ status }) => status === 'problem').map(({ check }) => check);
    expect(problems).toEqual(['postgres', 'redis']);
  });

  test('names what history must never show, and repairs none of it', async () => {
    const { api, db } = stack;
    const { execution_id: run } = await api.run(workflow([echo('only')]));
    const undo: string[] = [];
    const breakIt = async (sql: string, back: string) => {
      await db.query(sql.replaceAll('$run', `'${run}'`));
      undo.push(back.replaceAll('$run', `'${run}'`));
    };
    await breakIt(
      `INSERT INTO event (run_id, action_id, epoch, attempt, kind) VALUES ($run, 'only', 1, 1, 'task.failed')`,
      `DELETE FROM event WHERE run_id = $run AND kind = 'task.failed'`,
    );
    await breakIt(
      `INSERT INTO event (run_id, epoch, kind) VALUES ($run, 1, 'run.cancelled')`,
      `DELETE FROM event WHERE run_id = $run AND kind = 'run.cancelled'`,
    );
    await breakIt(
      `UPDATE task SET final = false WHERE run_id = $run`,
      `UPDATE task SET final = true WHERE run_id = $run`,
    );
    await breakIt(
      `UPDATE event SET seq = CASE kind WHEN 'task.completed' THEN 1 ELSE 7 END WHERE run_id = $run`,
      `UPDATE event SET seq = NULL WHERE run_id = $run`,
    );
    await breakIt(
      `UPDATE task SET deliveries = 12 WHERE run_id = $run`,
      `UPDATE task SET deliveries = 1 WHERE run_id = $run`,
    );
    const found = await doctor(true);
    const task = { status: 'problem', ids: [`${run}/only`], total: 1 };
    expect(found.get('one_end_per_task')).toMatchObject({ ...task, invariant: 'I2' });
    expect(found.get('one_end_per_run')).toMatchObject({ status: 'problem', ids: [run], invariant: 'I2' });
    expect(found.get('ended_runs_have_no_open_tasks')).toMatchObject({ ...task, invariant: 'I4' });
    expect(found.get('events_without_gaps')).toMatchObject({ status: 'problem', ids: [run], invariant: 'I8' });
    expect(found.get('attempts_within_policy')).toMatchObject({ ...task, invariant: 'I10' });
    expect([...found.values()].filter(({ repaired }) => repaired !== undefined)).toEqual([]);
    for (const sql of undo) await db.query(sql);
    await db.query('DELETE FROM task WHERE run_id = $1', [run]);
    expect((await doctor()).get('ended_runs_are_complete')).toMatchObject({ ...task, invariant: 'I4' });
    await db.query('DELETE FROM run WHERE id = $1', [run]);
    expect(wrong(await doctor())).toEqual([]);
  });

  test('what the queue has lost or kept, and what nobody went on with, is named and repaired once', async () => {
    const { api, db, redis, queuePrefix } = stack;
    const asks = { action_id: 'ask', action_type: 'approval', config: {} };
    const asked = await api.execute(await api.createWorkflow(workflow([asks])));
    await until(
      async () =>
        (await db.query(`SELECT 1 FROM task WHERE run_id = $1 AND status = 'waiting'`, [asked])).rowCount === 1,
    );
    const ended = await api.run(workflow([echo('x')]));
    const below = await api.createWorkflow(workflow([asks]));
    const parent = await api.execute(
      await api.createWorkflow(
        workflow([{ action_id: 'child', action_type: 'workflow', config: { workflow_id: below } }]),
      ),
    );
    // For another run, which needs its place in the queue to wake it.
    await until(async () => (await api.execution(parent)).status === 'waiting');
    await worker.stop();

    const lost = await api.execute(await api.createWorkflow(workflow([echo('a'), echo('b', ['a'])])));
    await until(async () => (await api.execution(lost)).status === 'queued');
    for (const key of await keysOf(redis as NonNullable<typeof redis>, queuePrefix))
      if (key.includes(lost) || key.includes(parent)) await redis?.del(key);
    for (const name of ['wait', 'prioritized', 'waiting-children'])
      await redis?.del(`${queuePrefix}:test_task:${name}`);
    for (const name of ['delayed', 'waiting-children']) await redis?.del(`${queuePrefix}:workflow:${name}`);
    const [gates, lane] = [queueOf('gates'), queueOf('wait')];
    const gate = `${ended.execution_id}.1.x.y`;
    await gates.add('x -> y', {}, { jobId: gate });
    await lane.add('left', {}, { jobId: `${ended.execution_id}.1.left`, delay: 600_000 });
    await Promise.all([gates.close(), lane.close()]);

    const one = workflow([echo('s')], { concurrency: { key: 'k', limit: 1, policy: 'queue' } });
    const grouped = await api.createWorkflow(one);
    const holder = await api.execute(grouped);
    const waits = await api.execute(grouped);
    await db.query('UPDATE run SET concurrency_key = NULL WHERE id = $1', [holder]);
    await db.query(`UPDATE run SET created_at = created_at - interval '1 minute' WHERE id = $1`, [waits]);
    await db.query(`UPDATE task SET wakes = wakes + 1, updated_at = now() - interval '1 minute' WHERE run_id = $1`, [
      asked,
    ]);
    const late = await api.execute(await api.createWorkflow(workflow([echo('l')], { timeout_seconds: 3_600 })));
    await db.query(`UPDATE run SET deadline_at = now() - interval '1 minute' WHERE id = $1`, [late]);

    const expected = [
      'deadlines_are_kept',
      'gates_have_sources',
      'jobs_have_runs',
      'places_are_given',
      'runs_have_jobs',
      'sleepers_are_woken',
    ];
    const found = await doctor();
    expect(wrong(found)).toEqual(expected);
    expect(found.get('runs_have_jobs')).toMatchObject({ invariant: 'I1', repairable: true });
    expect(found.get('runs_have_jobs')?.ids).toEqual(expect.arrayContaining([lost, parent]));
    expect(found.get('gates_have_sources')).toMatchObject({ ids: [gate], total: 1, invariant: 'I5' });
    expect(found.get('jobs_have_runs')).toMatchObject({ ids: [`wait:${ended.execution_id}.1.left`], total: 1 });
    expect(found.get('places_are_given')).toMatchObject({ ids: [waits] });
    expect(found.get('sleepers_are_woken')).toMatchObject({ ids: [`${asked}/ask`] });
    expect(found.get('deadlines_are_kept')).toMatchObject({ ids: [late] });

    const repaired = await doctor(true);
    for (const check of expected) {
      const { total, repaired: done } = repaired.get(check) ?? {};
      expect(done, check).toBe(total);
    }
    // What was woken is for a worker to take.
    await db.query('UPDATE task SET wakes_seen = wakes WHERE run_id = $1', [asked]);
    expect(wrong(await doctor())).toEqual([]);

    worker = await stack.add('worker');
    expect((await api.finished(lost)).status).toBe('completed');
    expect((await api.finished(waits)).status).toBe('completed');
    expect((await api.finished(late)).status).toBe('timed_out');
    for (const waiting of [asked, parent]) {
      await api.post(`/workflows/executions/${waiting}/cancel`);
      expect((await api.finished(waiting)).status).toBe('cancelled');
    }
  });
});
