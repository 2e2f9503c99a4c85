import { afterEach, expect, test } from 'vitest';
import { OrchestratorError } from '../../../src/domain/errors.ts';
import { type Door, executionNumber, NOW, openDoor } from '../../support/http-app.ts';

const doors: Door[] = [];
async function open(...config: Parameters<typeof openDoor>): Promise<Door> {
  const door = await openDoor(...config);
  doors.push(door);
  return door;
}
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()));
});

const WORKFLOW = { name: 'Hello', actions: [{ action_id: 'greet', action_type: 'test_task' }] };
const RESULT = { id: 'run-1', message: undefined, attempts: 1, changedAt: NOW };
const RUNNING = { ...RESULT, status: 'running' as const, final: false, output: null };
const COMPLETED = { ...RESULT, status: 'completed' as const, final: true, output: { approved: 2 } };
const at = NOW.toISOString();
const completed = {
  task_id: 'run-1',
  status: 'completed',
  result: { approved: 2 },
  attempts: 1,
  timestamp: at,
};

test('a task is assigned in the words that clients know', async () => {
  const door = await open();
  const answer = await door.post(
    '/assign-task/',
    { task_type: 'approve_batches', params: { batch_ids: [1, 2, 3] } },
    { 'idempotency-key': 'k' },
  );
  expect(answer.status).toBe(202);
  expect(answer.headers.get('location')).toBe('/result/run-1');
  expect(await answer.json()).toEqual({
    task_id: 'run-1',
    status: 'assigned',
    message: "Task 'approve_batches' successfully assigned",
    timestamp: at,
  });
  expect(door.asked.tasks[0]).toMatchObject({ key: 'k', request: { params: { batch_ids: [1, 2, 3] } } });
});

test('params are {} when left out', async () => {
  const door = await open();
  await door.post('/assign-task', { task_type: 'test_task' });
  expect(door.asked.tasks[0]?.request.params).toEqual({});
});

test('one bad item of many does not sink the rest, and each keeps its place', async () => {
  const door = await open();
  const tasks = [
    { task_type: 'test_task' },
    { task_type: 7 },
    { task_type: 'unknown' },
    { task_type: 'test_task', prams: {} },
    { task_type: 'test_task' },
  ];
  const answer = await door.post('/assign-tasks', { tasks });
  expect(answer.status).toBe(202);
  expect(await answer.json()).toMatchObject({
    items: [
      { index: 0, task_id: 'run-1', status: 'assigned' },
      { index: 1, error: { code: 'invalid_request', errors: [{ path: 'task_type' }] } },
      { index: 2, error: { code: 'unknown_task_type' } },
      { index: 3, error: { errors: [{ path: 'prams' }] } },
      { index: 4, task_id: 'run-2', status: 'assigned' },
    ],
  });
});

test.each([[0], [1001]])('%i tasks at once are refused', async (count) => {
  const door = await open();
  const answer = await door.post('/assign-tasks', {
    tasks: Array.from({ length: count }, () => ({ task_type: 'test_task' })),
  });
  expect(answer.status).toBe(400);
});

test('a key for a bulk request would have no effect and is refused', async () => {
  const door = await open();
  const answer = await door.post('/assign-tasks', { tasks: [{ task_type: 'test_task' }] }, { 'idempotency-key': 'k' });
  expect(answer.status).toBe(400);
});

test('a result that has not changed is 304 for who has it', async () => {
  const door = await open();
  door.results.set('run-1', COMPLETED);
  const first = await door.fetch('/result/run-1');
  expect(first.status).toBe(200);
  // What the ETag is made of.
  expect(await first.text()).toBe(JSON.stringify(completed));
  const etag = first.headers.get('etag') ?? '';
  const again = await door.fetch('/result/run-1', { headers: { 'if-none-match': `"x", W/${etag}` } });
  expect(again.status).toBe(304);
  expect(again.headers.get('etag')).toBe(etag);
  door.results.set('run-1', { ...COMPLETED, attempts: 2 });
  expect((await door.fetch('/result/run-1', { headers: { 'if-none-match': etag } })).status).toBe(200);
});

test('a wait answers what is there when the task ends', async () => {
  const door = await open();
  door.results.set('run-1', RUNNING);
  door.onWait.call = (runId) => {
    door.results.set(runId, COMPLETED);
    return Promise.resolve(true);
  };
  expect(await (await door.fetch('/result/run-1?wait=10')).json()).toEqual(completed);
});

test('without a wait, and for a task that has ended, nothing is waited for', async () => {
  const door = await open();
  door.onWait.call = () => Promise.reject(new Error('waited'));
  door.results.set('run-1', RUNNING);
  expect((await door.fetch('/result/run-1')).status).toBe(200);
  door.results.set('run-1', COMPLETED);
  expect((await door.fetch('/result/run-1?wait=30')).status).toBe(200);
});

test.each(['31', '-1', 'x', 'NaN'])('a wait of %s is 400', async (wait) => {
  const door = await open();
  const answer = await door.fetch(`/result/run-1?wait=${wait}`);
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ errors: [{ path: 'wait' }] });
});

test('a workflow is created with a Location, and changed only on the version that If-Match names', async () => {
  const door = await open();
  const created = await door.post('/workflows', WORKFLOW, { 'x-user-id': 'user@example.com' });
  expect(created.status).toBe(201);
  expect(created.headers.get('location')).toBe('/workflows/workflow-1');
  expect(created.headers.get('etag')).toBe('"1"');
  expect(await created.json()).toMatchObject({
    workflow_id: 'workflow-1',
    name: 'Hello',
    version: 1,
    status: 'active',
    created_by: 'user@example.com',
    created_at: at,
    updated_at: at,
  });
  const put = (body: object, headers: Record<string, string> = {}) =>
    door.fetch('/workflows/workflow-1', {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  const changed = await put({ description: 'Updated', tags: ['v2'] }, { 'if-match': '"1"' });
  expect(changed.status).toBe(200);
  expect(changed.headers.get('etag')).toBe('"2"');
  expect(await changed.json()).toMatchObject({ version: 2, description: 'Updated', tags: ['v2'] });
  const stale = await put({ description: 'Mine' }, { 'if-match': '"1"' });
  expect(stale.status).toBe(412);
  const paused = await put({ status: 'paused' });
  expect(await paused.json()).toMatchObject({ version: 2, status: 'paused' });
  expect((await put({ status: 'asleep' })).status).toBe(400);
});

test('what a client got can be sent back', async () => {
  const door = await open();
  const got = (await (await door.post('/workflows', WORKFLOW)).json()) as object;
  const answer = await door.fetch('/workflows/workflow-1', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(got),
  });
  expect(answer.status).toBe(200);
  const stored = door.workflows.get('default/workflow-1');
  expect(stored?.definition).not.toHaveProperty('workflow_id');
  expect(stored?.definition.version).toBeUndefined();
});

test('a workflow with active runs is deleted only by force, which cancels them', async () => {
  const door = await open();
  await door.post('/workflows', WORKFLOW);
  door.executions.push(executionNumber(1));
  const refused = await door.fetch('/workflows/workflow-1', { method: 'DELETE' });
  expect(refused.status).toBe(409);
  expect(await refused.json()).toMatchObject({ code: 'active_runs' });
  const forced = await door.fetch('/workflows/workflow-1?force=true', { method: 'DELETE' });
  expect(forced.status).toBe(202);
  const begun = (await forced.json()) as { links: { self: string } };
  expect(begun).toMatchObject({ kind: 'cancel', status: 'running', executions: { total: 7, done: 1 } });
  expect((await door.fetch(begun.links.self)).status).toBe(200);
});

test('an execution is accepted with its address and links', async () => {
  const door = await open();
  const answer = await door.post('/workflows/w/execute', { parameters: { message: 'Hello' } });
  expect(answer.status).toBe(202);
  expect(answer.headers.get('location')).toBe('/workflows/executions/run-1');
  expect(await answer.json()).toEqual({
    execution_id: 'run-1',
    workflow_id: 'w',
    workflow_version: 1,
    status: 'pending',
    created_at: at,
    links: {
      self: '/workflows/executions/run-1',
      workflow: '/workflows/w',
      cancel: '/workflows/executions/run-1/cancel',
      events: '/workflows/executions/run-1/events',
      result: '/result/run-1',
    },
  });
  expect(door.asked.executions[0]).toMatchObject({ parameters: { message: 'Hello' }, strict: false });
});

test('an execution without a body is one without parameters, and strict is asked for in the query', async () => {
  const door = await open();
  expect((await door.fetch('/workflows/w/execute?strict=true', { method: 'POST' })).status).toBe(202);
  expect(door.asked.executions[0]).toMatchObject({ parameters: {}, strict: true });
});

test('the key counts in the header and in the body, but not two different ones', async () => {
  const door = await open();
  await door.post('/workflows/w/execute', {}, { 'idempotency-key': 'a' });
  await door.post('/workflows/w/execute', { idempotency_key: 'b' });
  await door.post('/workflows/w/execute', { idempotency_key: 'c' }, { 'idempotency-key': 'c' });
  expect(door.asked.executions.map(({ idempotency_key }) => idempotency_key)).toEqual(['a', 'b', 'c']);
  const both = await door.post('/workflows/w/execute', { idempotency_key: 'd' }, { 'idempotency-key': 'e' });
  expect(both.status).toBe(400);
});

test.each([
  ['/workflows/w/execute', { dry_run: true }],
  ['/workflows/w/execute?dry_run=true', {}],
])('a dry run answers the plan and runs nothing (%s)', async (path, body) => {
  const door = await open();
  const answer = await door.post(path, body);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ order: ['a', 'b'] });
  expect(door.asked.executions).toEqual([]);
});

test('many executions are answered one by one', async () => {
  const door = await open();
  const answer = await door.post('/workflows/w/executions', { items: [{ parameters: {} }, { parameters: 7 }, {}] });
  expect(answer.status).toBe(202);
  expect(await answer.json()).toMatchObject({
    items: [
      { index: 0, execution_id: 'run-1', status: 'pending' },
      { index: 1, error: { code: 'invalid_request' } },
      { index: 2, execution_id: 'run-2' },
    ],
  });
});

test('a cancellation needs no body and is 409 when the run has ended', async () => {
  const door = await open();
  const answer = await door.fetch('/workflows/executions/run-1/cancel', { method: 'POST' });
  expect(answer.status).toBe(202);
  expect(await answer.json()).toMatchObject({ execution_id: 'run-1', status: 'cancelling' });
  door.failWith(new OrchestratorError('already_final', 'The run has already ended'));
  expect((await door.fetch('/workflows/executions/run-1/cancel', { method: 'POST' })).status).toBe(409);
});

test('a list is walked to its end by its cursor, every item once', async () => {
  const door = await open();
  door.executions.push(...Array.from({ length: 5 }, (_, index) => executionNumber(index + 1)));
  const seen: string[] = [];
  let cursor: string | null = '';
  for (let page = 1; cursor !== null; page += 1) {
    const answer = await door.fetch(`/executions?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
    const body = (await answer.json()) as {
      items: Array<{ execution_id: string }>;
      executions: unknown[];
      next_cursor: string | null;
      pagination: object;
    };
    expect(body.executions).toEqual(body.items);
    expect(body).toMatchObject({ page, page_size: 2, total: 5 });
    expect(body.pagination).toEqual({
      page,
      page_size: 2,
      total_items: 5,
      total_pages: 3,
      has_next: page < 3,
      has_previous: page > 1,
    });
    seen.push(...body.items.map(({ execution_id }) => execution_id));
    cursor = body.next_cursor;
  }
  expect(seen).toEqual(['run-1', 'run-2', 'run-3', 'run-4', 'run-5']);
});

test.each([
  'limit=0',
  'limit=201',
  'limit=',
  'cursor=nonsense',
  'status=asleep',
  'from=yesterday',
  'limit=1&limit=2',
  'correlation_id=%00',
])('a list asked for by %s is 400 and says which is wrong', async (query) => {
  const door = await open();
  const answer = await door.fetch(`/executions?${query}`);
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ errors: [{ path: query.split('=', 1)[0] }] });
});

test('a list of workflows has the older names beside ours', async () => {
  const door = await open();
  const answer = await door.fetch('/workflows?page=1&page_size=50&status=active&created_by=user@example.com');
  expect(await answer.json()).toEqual({
    items: [],
    workflows: [],
    page: 1,
    page_size: 50,
    total: 0,
    pagination: { page: 1, page_size: 50, total_items: 0, total_pages: 0, has_next: false, has_previous: false },
  });
});

test('the catalogue of action types and the older list of names', async () => {
  const door = await open();
  expect(await (await door.fetch('/tasks/')).json()).toEqual({ available_tasks: ['test_task'] });
  expect(await (await door.fetch('/action-types')).json()).toMatchObject({
    items: [{ action_type: 'test_task' }],
    total: 1,
  });
});

test('a flow that names another tenant is refused', async () => {
  const door = await open();
  const flow = { id: 'f', tasks: [{ id: 'a', handler: 'test_task' }], tenant_id: 'acme' };
  expect((await door.post('/workflows', flow)).status).toBe(403);
  expect((await door.post('/workflows', flow, { 'x-tenant-id': 'acme' })).status).toBe(201);
});
