/**
 * A role that owns nothing, as SECURITY.md wants it, and rights that it has lost: at start nothing is accepted for which it
 * has no rights, and what is taken from it later is named and given back without a restart.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { test as base, expect, inject } from 'vitest';
import { systemHealth } from '../../src/schemas/service-answers.ts';
import { whyOfRun } from '../../src/schemas/why.ts';
import { TENANT_ROLE } from '../../src/store/core/row-level-security.ts';
import { expectRest } from '../harness/checker/at-rest.ts';
import type { Client } from '../harness/client/client.ts';
import { reportFailure } from '../harness/failure-log.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { openStack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

/** Until it has to be named. */
const NAMED = { timeoutMs: 15_000 };

const test = base
  .extend('role', async ({ onTestFinished: _ }, { onCleanup }) => {
    const name = `app_${randomBytes(6).toString('hex')}`;
    const owner = new pg.Client({ connectionString: inject('postgresUrl') });
    await owner.connect();
    await owner.query(`CREATE ROLE ${name} LOGIN NOINHERIT PASSWORD 'app'`);
    onCleanup(async () => {
      // The database, and with it every right, is gone by now.
      await owner.query(`DROP ROLE ${name}`);
      await owner.end();
    });
    return name;
  })
  .extend('stack', async ({ role, onTestFailed }, { onCleanup }) => {
    const stack = await openStack('redis', {
      workers: 0,
      databaseUrl(real) {
        const url = new URL(real);
        url.username = role;
        url.password = 'app';
        return url.href;
      },
    });
    onTestFailed((test) => reportFailure(test, stack.log.tail()));
    onCleanup(() => stack.stop());
    return stack;
  });

const problems = async (api: Client) => systemHealth.parse((await api.get('/health/system')).body).problems;
const isReady = async (api: Client) => (await api.get('/ready')).status === 200;

test('an API whose role has no rights accepts nothing from its first request on, and begins by itself when it gets them', async ({
  stack,
  role,
}) => {
  const { api, db } = stack;
  const refused = await api.post('/assign-task', { task_type: 'test_task' });
  expectProblem(refused, 503, 'database_not_usable');
  expect(refused.text).toContain('42501');
  expect(await api.get('/ready')).toMatchObject({ status: 503, body: { problem: { class: '42501' } } });
  expect((await db.query('SELECT 1 FROM run')).rowCount).toBe(0);

  await db.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role}`);
  await db.query(`GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${role}`);
  await db.query(`GRANT ${TENANT_ROLE} TO ${role}`);
  await until(() => isReady(api), NAMED);
  await stack.add('worker');
  const run = await api.execute(await api.createWorkflow(workflow([echo('a', [], { duration: 2 }), echo('b', ['a'])])));
  await until(async () => (await api.execution(run)).status === 'running');

  // Only what a commit does: the task is executed, and its outcome is held.
  await db.query(`REVOKE UPDATE ON task FROM ${role}`);
  await until(async () => !(await isReady(api)), NAMED);
  await until(
    async () => (await problems(api)).some(({ message }) => message.includes('permission denied for table task')),
    NAMED,
  );
  expect(await problems(api)).toContainEqual(
    expect.objectContaining({
      code: 'database_not_usable',
      message: expect.stringContaining('42501, a privilege is missing: permission denied for table task'),
    }),
  );
  const { root } = whyOfRun.parse((await api.get(`/executions/${run}/why`)).body);
  expect(root).toMatchObject({ cause: { code: 'database_not_usable', class: '42501' } });
  expectProblem(await api.post('/assign-task', { task_type: 'test_task' }), 503, 'database_not_usable');

  await db.query(`GRANT UPDATE ON task TO ${role}`);
  await until(() => isReady(api), NAMED);
  expect(await api.finished(run)).toMatchObject({ status: 'completed', tasks: [{ attempts: 1 }, { attempts: 1 }] });
  await until(async () => (await problems(api)).every(({ code }) => code !== 'database_not_usable'), NAMED);
  await expectRest(stack);
});
