import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_RETRY, type Definition } from '../../src/domain/definition/definition.ts';
import { inlineDefinition } from '../../src/domain/definition/normalise.ts';
import type { RunReader } from '../../src/engine/ports/read-models.ts';
import { presentExecution } from '../../src/http/present/runs.ts';
import { presentResult } from '../../src/http/present/tasks.ts';
import { createLinks } from '../../src/http/server/links.ts';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import { createDefinitions } from '../../src/store/runs/definitions.ts';
import { createWorkflowStore } from '../../src/store/runs/workflows.ts';
import { createRunReader } from '../../src/store/views/runs-read.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let place: TestDatabase;
let database: Database;
let runs: RunReader;
beforeAll(async () => {
  place = await createTestDatabase();
  database = openDatabase(place.url, { name: 'store-runs-read', onError: () => undefined });
  runs = createRunReader(database, createDefinitions(database.pool));
});
afterAll(async () => {
  await database.close();
  await place.drop();
});

/** As the API shows them. */
const links = createLinks(undefined);
const result = async (tenantId: string, id: string) => {
  const found = await runs.result(tenantId, id);
  return found && { final: found.final, view: presentResult(found) };
};
const execution = async (tenantId: string, id: string) => {
  const found = await runs.execution(tenantId, id);
  return found && presentExecution(found, links);
};

const T0 = new Date('2030-01-01T12:00:00.000Z');
const at = (seconds: number) => new Date(T0.getTime() + seconds * 1000);

async function insert(table: string, row: Record<string, unknown>): Promise<void> {
  const names = Object.keys(row);
  await database.pool.query(
    `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
    Object.values(row),
  );
}
const run = (row: Record<string, unknown>) =>
  insert('run', {
    tenant_id: 't',
    user_id: 'u',
    parameters: '{}',
    inline: '{"action_type":"test_task"}',
    created_at: T0,
    ...row,
  });
const task = (row: Record<string, unknown>) =>
  insert('task', { action_id: 'task', action_type: 'test_task', epoch: 1, attempt: 1, ended_attempt: 1, ...row });

test('a task of the simple door goes through its states in the words that clients know', async () => {
  await run({ id: 'r1' });
  expect(await result('t', 'r1')).toEqual({
    final: false,
    view: { task_id: 'r1', status: 'pending', attempts: 0, timestamp: T0.toISOString() },
  });
  expect(await result('other', 'r1')).toBeUndefined();
  await task({ run_id: 'r1', status: 'running', attempt: 1, ended_attempt: 0, started_at: at(1), updated_at: at(1) });
  expect((await result('t', 'r1'))?.view).toEqual({
    task_id: 'r1',
    status: 'running',
    attempts: 1,
    timestamp: at(1).toISOString(),
  });
  await database.pool.query(
    `UPDATE task SET status = 'completed', final = true, output = '{"approved": 2}', finished_at = $1 WHERE run_id = 'r1'`,
    [at(2)],
  );
  await database.pool.query(
    `UPDATE run SET status = 'completed', final = true, output = '{"task": {"approved": 2}}', finished_at = $1 WHERE id = 'r1'`,
    [at(2)],
  );
  expect(await result('t', 'r1')).toEqual({
    final: true,
    view: { task_id: 'r1', status: 'completed', result: { approved: 2 }, attempts: 1, timestamp: at(2).toISOString() },
  });
});

test.each([
  ['[1, 2]', [1, 2]],
  ['"x"', 'x'],
  ['null', null],
  ['3', 3],
])('a result that is %s is given as an object', async (output, value) => {
  const id = `wrapped-${output}`;
  await run({ id, status: 'completed', final: true, finished_at: T0 });
  await task({ run_id: id, status: 'completed', final: true, output });
  expect((await result('t', id))?.view.result).toEqual({ value });
});

test('the error of a failed task is the bare message, and a cancelled one says why', async () => {
  const error = '{"code":"adapter_failed","message":"Connection timeout to ESC system"}';
  await run({ id: 'failed', status: 'failed', final: true, error, finished_at: at(3) });
  await task({ run_id: 'failed', status: 'failed', final: true, error, attempt: 4, ended_attempt: 4 });
  expect((await result('t', 'failed'))?.view).toEqual({
    task_id: 'failed',
    status: 'failed',
    error: 'Connection timeout to ESC system',
    attempts: 4,
    timestamp: at(3).toISOString(),
  });
  await run({
    id: 'cancelled',
    status: 'cancelled',
    final: true,
    cancel_reason: 'no longer needed',
    finished_at: at(3),
  });
  expect((await result('t', 'cancelled'))?.view).toMatchObject({ status: 'cancelled', error: 'no longer needed' });
});

test('an execution shows every action in the order of the definition, begun or not, with its attempts', async () => {
  const action = (action_id: string, depends_on: string[]): Definition['actions'][number] => ({
    action_id,
    action_type: 'test_task',
    config: {},
    depends_on,
    run_if: 'all_succeeded',
    retry: DEFAULT_RETRY,
    timeout_seconds: 300,
    on_failure: 'fail',
  });
  const { id: workflow } = await createWorkflowStore(database.prisma, () => 'flow').create('t', 'u', {
    name: 'flow',
    tags: [],
    parameters: [],
    actions: [action('z', []), action('b', ['z']), action('a', ['b'])],
  });
  await run({
    id: 'e1',
    workflow_id: workflow,
    workflow_version: 1,
    inline: null,
    parameters: '{"x":1}',
    trace_id: 'trace',
    correlation_id: 'c',
  });
  expect(await execution('t', 'e1')).toMatchObject({
    status: 'pending',
    progress: { total: 3, pending: 3, percent: 0 },
  });
  await task({
    run_id: 'e1',
    action_id: 'z',
    status: 'completed',
    final: true,
    attempt: 2,
    ended_attempt: 2,
    input: '{"i":1}',
    output: '[1]',
    worker: 'w',
    started_at: at(1),
    finished_at: at(3),
  });
  await task({ run_id: 'e1', action_id: 'b', status: 'running', attempt: 1, ended_attempt: 0, started_at: at(3) });
  for (const [attempt, status, error] of [
    [1, 'failed', '{"code":"timeout","message":"slow"}'],
    [2, 'completed', null],
  ]) {
    await insert('attempt', {
      run_id: 'e1',
      action_id: 'z',
      epoch: 1,
      attempt,
      status,
      error,
      worker: 'w',
      started_at: at(1),
      finished_at: at(2),
    });
  }
  const found = await execution('t', 'e1');
  expect(found).toMatchObject({
    execution_id: 'e1',
    workflow_id: 'flow',
    workflow_version: 1,
    status: 'running',
    parameters: { x: 1 },
    output: null,
    error: null,
    trace_id: 'trace',
    correlation_id: 'c',
    tenant_id: 't',
    user_id: 'u',
    created_at: T0.toISOString(),
    progress: { total: 3, completed: 1, failed: 0, skipped: 0, running: 1, pending: 1, percent: 33.3 },
  });
  expect(found?.tasks).toMatchObject([
    {
      action_id: 'z',
      status: 'completed',
      attempts: 2,
      input: { i: 1 },
      output: [1],
      worker: 'w',
      duration_ms: 2000,
      attempts_history: [
        { attempt: 1, status: 'failed', error: { code: 'timeout' }, duration_ms: 1000 },
        { attempt: 2, status: 'completed', error: null },
      ],
    },
    { action_id: 'b', status: 'running', attempts: 1, attempts_history: [] },
    {
      action_id: 'a',
      action_type: 'test_task',
      status: 'pending',
      attempts: 0,
      input: null,
      output: null,
      started_at: null,
      worker: null,
    },
  ]);
  expect(await execution('other', 'e1')).toBeUndefined();
});

test('a task of the simple door is an execution of one action', async () => {
  await run({ id: 'single', parameters: '{"duration":0}' });
  const found = await execution('t', 'single');
  expect(found).toMatchObject({ workflow_id: null, task_type: 'test_task', progress: { total: 1 } });
  expect(found?.tasks.map(({ action_id, action_type }) => [action_id, action_type])).toEqual(
    inlineDefinition({ action_type: 'test_task' }).actions.map(({ action_id, action_type }) => [
      action_id,
      action_type,
    ]),
  );
});

test('outputs that would make a view too large are left out and said to be', async () => {
  const actions = Array.from({ length: 20 }, (_, index) => `a${String(index).padStart(2, '0')}`);
  await createWorkflowStore(database.prisma, () => 'large').create('t', 'u', {
    name: 'large',
    tags: [],
    parameters: [],
    actions: actions.map((action_id) => ({
      action_id,
      action_type: 'test_task',
      config: {},
      depends_on: [],
      run_if: 'all_succeeded',
      retry: DEFAULT_RETRY,
      timeout_seconds: 300,
      on_failure: 'fail',
    })),
  });
  await run({ id: 'large', workflow_id: 'large', workflow_version: 1, inline: null });
  // Repetition is stored in a hundredth of its size; the view must count what it would show.
  const output = JSON.stringify('x'.repeat(1024 * 1024));
  for (const action_id of actions) await task({ run_id: 'large', action_id, status: 'completed', final: true, output });
  const found = await execution('t', 'large');
  const shown = found?.tasks.filter((one) => one.omitted === undefined) ?? [];
  expect(shown.length).toBeGreaterThan(10);
  expect(shown.length).toBeLessThanOrEqual(16);
  for (const one of shown) expect(one.output).toHaveLength(1024 * 1024);
  for (const one of found?.tasks ?? []) if (one.omitted === true) expect(one.output).toBeNull();
});

test('a list goes from page to page without a gap, also between runs of the same millisecond', async () => {
  const ids = Array.from({ length: 7 }, (_, index) => `list-${index}`);
  for (const [index, id] of ids.entries()) {
    await run({
      id,
      tenant_id: 'lists',
      created_at: at(Math.floor(index / 3)),
      status: index === 0 ? 'failed' : 'completed',
      correlation_id: index % 2 === 0 ? 'even' : null,
    });
  }
  const seen: string[] = [];
  let after: { createdAt: Date; id: string } | undefined;
  for (let more = true; more; ) {
    const page = await runs.list('lists', {}, { limit: 2, skip: 0, after });
    expect(page.total).toBe(7);
    seen.push(...page.items.map(({ id }) => id));
    const last = page.items.at(-1);
    after = last === undefined ? undefined : { createdAt: last.createdAt, id: last.id };
    more = page.more;
  }
  expect(seen).toEqual([...ids].reverse());
  const count = async (filter: Parameters<RunReader['list']>[1]) =>
    (await runs.list('lists', filter, { limit: 50, skip: 0, after: undefined })).total;
  expect(await count({ status: 'failed' })).toBe(1);
  expect(await count({ correlationId: 'even' })).toBe(4);
  expect(await count({ from: at(1), to: at(2) })).toBe(3);
  expect(await count({ workflowId: 'none' })).toBe(0);
  expect((await runs.list('lists', {}, { limit: 2, skip: 6, after: undefined })).items).toHaveLength(1);
});
