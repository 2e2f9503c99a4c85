/** What is asked before a request changes something: which operations, when, and that nothing is started without its yes. */
import { afterEach, expect, test } from 'vitest';
import { endpointsOf } from '../../../src/compose/features.ts';
import { OrchestratorError } from '../../../src/domain/errors.ts';
import {
  type AskBefore,
  type Change,
  changeCheck,
  changesSomething,
  checking,
} from '../../../src/http/middleware/before-change.ts';
import { BOARD_PATH } from '../../../src/http/server/app.ts';
import { until } from '../../harness/until.ts';
import { type Door, openDoor } from '../../support/http-app.ts';

let door: Door;
afterEach(() => door.close());

const TASK = { task_type: 'test_task' };
const JSON_BODY = { 'content-type': 'application/json' };

async function asking(
  check: AskBefore = () => Promise.resolve(),
  config: Parameters<typeof openDoor>[0] = {},
): Promise<Change[]> {
  const asked: Change[] = [];
  const board = (_request: unknown, response: { end(text: string): void }) => response.end('board');
  door = await openDoor(config, {
    board,
    beforeChange: [
      () => (change) => {
        asked.push(change);
        return check(change);
      },
    ],
  });
  return asked;
}

test('every operation that is no GET is asked about by its id, but for logging out', async () => {
  const operations = (await endpointsOf()).flatMap((table) => table.operations);
  const unasked = operations.filter((op) => op.method !== 'get' && !changesSomething(op)).map(({ id }) => id);
  expect(unasked).toEqual(['logout']);
  expect(operations.filter((op) => op.method === 'get' && changesSomething(op))).toEqual([]);

  const asked = await asking(() => Promise.reject(new OrchestratorError('policy_denied', 'no')));
  const changing = operations.filter(
    (op) => changesSomething(op) && (op.body === undefined || op.bodyOptional === true),
  );
  expect(changing.length).toBeGreaterThan(20);
  const denied: string[] = [];
  for (const { id, method, path } of changing) {
    const answer = await door.fetch(path.replaceAll(/\{\w+\}/g, 'some-id'), { method: method.toUpperCase() });
    // A query may be wrong before anybody is asked.
    expect([400, 403], path).toContain(answer.status);
    if (answer.status === 403) denied.push(id);
  }
  expect(denied.length).toBeGreaterThan(20);
  expect(asked.map(({ operation }) => operation)).toEqual(denied);
});

test('is told the caller, the operation and what it is done to', async () => {
  const asked = await asking();
  await door.post(
    '/workflows/executions/run-1/cancel',
    {},
    { 'x-tenant-id': 'acme', 'x-user-id': 'anna', 'x-request-id': 'r-7' },
  );
  expect(asked).toMatchObject([
    {
      ...{ operation: 'cancelExecution', requestId: 'r-7', caller: { tenantId: 'acme', userId: 'anna' } },
      resource: { execution_id: 'run-1' },
    },
  ]);
});

test('the token of a link is not told, and nobody is named for it', async () => {
  const asked = await asking(undefined, { apiKeys: ['one'] });
  await door.post('/approvals/the-token-of-a-link', {});
  expect(asked).toMatchObject([{ operation: 'decideByLink', resource: { token: '***' }, caller: undefined }]);
});

test('nobody is asked about what only reads, or cannot be read', async () => {
  const asked = await asking();
  for (const path of ['/health', '/tasks', '/executions', '/openapi.json', BOARD_PATH]) await door.fetch(path);
  expect((await door.post('/assign-task', { task_type: 7 })).status).toBe(400);
  expect((await door.fetch('/assign-task', { method: 'POST', headers: JSON_BODY, body: '{' })).status).toBe(400);
  expect(asked).toEqual([]);
});

test('a bulk request is one change', async () => {
  const asked = await asking();
  expect((await door.post('/assign-tasks', { tasks: [TASK, TASK, TASK] })).status).toBeLessThan(300);
  expect(asked.map(({ operation }) => operation)).toEqual(['assignTasks']);
});

test('what is denied has started nothing', async () => {
  await asking(() => Promise.reject(new OrchestratorError('policy_denied', 'The policy denies this: no')));
  const answer = await door.post('/assign-task', TASK);
  expect(answer.status).toBe(403);
  expect(await answer.json()).toMatchObject({ code: 'policy_denied', detail: 'The policy denies this: no' });
  expect(door.asked.tasks).toEqual([]);
});

test('Bull Board is asked about when it changes the queues', async () => {
  const asked = await asking(() => Promise.reject(new OrchestratorError('policy_denied', 'no')));
  expect((await door.fetch(`${BOARD_PATH}/api/queues`)).status).toBe(200);
  expect((await door.fetch(`${BOARD_PATH}/api/queues/pause`, { method: 'PUT' })).status).toBe(403);
  expect(asked).toMatchObject([{ operation: 'board' }]);
});

test('where nobody is to be asked no request passes anything of it', async () => {
  for (const op of (await endpointsOf()).flatMap((table) => table.operations)) {
    expect(changeCheck([], op)).toBeUndefined();
    expect(changeCheck(undefined, op)).toBeUndefined();
    expect(changeCheck([() => undefined], op)).toBeUndefined();
  }
  expect(checking(undefined)).toEqual([]);
});

test('a client that goes away while the question is open is noticed, and nothing is started', async () => {
  const asked = await asking(
    ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  );
  const gone = new AbortController();
  const answer = door.fetch('/assign-task', {
    ...{ method: 'POST', headers: JSON_BODY, body: JSON.stringify(TASK), signal: gone.signal },
  });
  await until(() => asked.length === 1);
  gone.abort();
  await expect(answer).rejects.toThrow();
  await until(() => asked[0]?.signal.aborted === true);
  expect(door.asked.tasks).toEqual([]);
});
