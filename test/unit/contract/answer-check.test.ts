import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { type AnswerSeen, createAnswerCheck } from '../../support/contract/answer-check.ts';
import { readContract } from '../../support/contract/document.ts';
import { noteEvent, noteMessage, takeWrong } from '../../support/contract/observed.ts';

const check = createAnswerCheck(readContract());

const RESULT = { task_id: 't', status: 'completed', result: {}, attempts: 1, timestamp: '2030-01-01T12:00:00.000Z' };
const problemOf = (code: string, status: number) => ({
  ...{ type: `urn:orchestrator:problem:${code}`, title: 'A title', status, detail: 'A detail', instance: '/result/t' },
  ...{ code, trace_id: '0', message: 'A detail', error_code: code },
});

function seen(status: number, body: object, rest: Partial<AnswerSeen> = {}): AnswerSeen {
  const contentType = status < 400 ? 'application/json; charset=utf-8' : 'application/problem+json; charset=utf-8';
  return { method: 'GET', path: '/result/t', status, contentType, text: JSON.stringify(body), ...rest };
}

test.each([
  ['as described', seen(200, RESULT)],
  ['with a slash behind the path', seen(200, RESULT, { path: '/result/t/' })],
  ['a problem with a code that is listed', seen(404, problemOf('not_found', 404))],
  ['without a body, where none is described', seen(304, {}, { contentType: null, text: '' })],
  [
    'with a redirect to the login',
    seen(302, {}, { contentType: 'text/plain', text: 'Found. Redirecting to /auth/login' }),
  ],
  ['to HEAD', seen(200, {}, { method: 'HEAD', text: '' })],
  ['where nothing is served', seen(404, problemOf('not_found', 404), { path: '/nowhere' })],
  ['to a method that is not served', seen(405, problemOf('method_not_allowed', 405), { method: 'DELETE' })],
])('an answer %s passes', (_what, answer) => {
  expect(check(answer)).toBeUndefined();
});

test.each([
  ['with a status that is not listed', seen(418, problemOf('not_found', 418)), 'getResult answered 418, which is not'],
  ['with another content type', seen(200, RESULT, { contentType: 'text/plain' }), "with 'text/plain' instead of"],
  ['without a field', seen(200, { ...RESULT, attempts: undefined }), "must have required property 'attempts'"],
  ['with a field that is not described', seen(200, { ...RESULT, more: 1 }), '"additionalProperty":"more"'],
  ['with another type', seen(200, { ...RESULT, attempts: '1' }), '/attempts must be integer'],
  ['with a time that is none', seen(200, { ...RESULT, timestamp: 'now' }), '/timestamp must match'],
  ['with a code that is not listed', seen(404, problemOf('unknown_flow', 404)), '/code must be equal to one of'],
  ['with a body, where none is described', seen(304, {}), 'with a body, which is not listed'],
  ['of nothing with another code', seen(404, problemOf('conflict', 404), { path: '/nowhere' }), '/code must be equal'],
])('an answer %s fails', (_what, answer, expected) => {
  expect(check(answer)).toContain(expected);
});

test('the path with the fixed word describes the answer, as the router has it', () => {
  const summary = seen(200, { items: [] }, { path: '/workflows/search' });
  expect(check(summary)).toContain('searchWorkflows answered 200');
});

test('every answer that a test fetches is checked, and those of other servers are not', async () => {
  const server = createServer((request, response) => {
    const own = request.url === '/tasks' ? { 'x-request-id': '1', traceparent: '00-1-1-01' } : {};
    response.writeHead(200, { 'content-type': 'application/json', ...own });
    response.end('{"available_tasks":7}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // It listens on a port.
  try {
    expect(await (await fetch(`${url}/tasks`)).json()).toEqual({ available_tasks: 7 });
    await (await fetch(`${url}/action-types`)).text();
    expect(takeWrong()).toEqual([expect.stringContaining('listTasks answered 200 with what does not fit')]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('events of a stream and messages of a socket are checked by the schemas that the document refers to', () => {
  const data = { execution_id: 'r', epoch: 1, action_id: 'a', attempt: 1, at: RESULT.timestamp };
  noteEvent('task.completed', { ...data, details: null });
  noteEvent('task.progress', { ...data, details: { percent: 40, message: null } });
  noteMessage({ task_id: 't', status: 'running', progress: 40, message: null, timestamp: RESULT.timestamp });
  expect(takeWrong()).toEqual([]);

  noteEvent('task.progress', { ...data, details: { percent: '40', message: null } });
  noteMessage({ task_id: 't', status: 'running', progress: '40', message: null, timestamp: RESULT.timestamp });
  expect(takeWrong()).toEqual([
    expect.stringContaining('the event task.progress: /details/percent must be number'),
    expect.stringContaining('a message of a socket: /progress must be number'),
  ]);
});
