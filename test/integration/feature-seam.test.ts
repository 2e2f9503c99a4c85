/** What adding a feature takes: a folder, and its name in the list. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FEATURES, operationsOf } from '../../src/compose/features.ts';
import { PERMISSIONS } from '../../src/domain/access.ts';
import { hello } from '../fixtures/features/hello/index.ts';
import { listGreetings } from '../fixtures/features/hello/routes.ts';
import { until } from '../harness/until.ts';
import { openStack, type Stack } from '../support/stack.ts';

const WITH_HELLO = [...FEATURES, hello];

let stack: Stack;

beforeAll(async () => {
  stack = await openStack('redis', { features: WITH_HELLO });
  // A migration would make it.
  await stack.db.query(
    'CREATE TABLE hello_greeting (id text PRIMARY KEY, tenant_id text NOT NULL, name text NOT NULL)',
  );
});
afterAll(() => stack.stop());

test('its route is served, and lists what its work in the background has made', async () => {
  await until(async () => {
    const { status, body } = await stack.api.get('/greetings');
    expect(status).toBe(200);
    expect(body).toEqual({ items: ['world'] });
    return true;
  });
});

test('its route is in the OpenAPI document, with the permission that it takes', async () => {
  const { body } = await stack.api.get('/openapi.json');
  const { paths } = body as { paths: Record<string, Record<string, Record<string, unknown>>> }; // As OpenAPI has it.
  expect(paths['/greetings']?.['get']).toMatchObject({
    operationId: 'listGreetings',
    'x-permission': 'workflows:read',
  });
  expect(Object.keys(PERMISSIONS)).toContain(listGreetings.permission);
  expect(await operationsOf(WITH_HELLO)).toContain(listGreetings);
  expect(await operationsOf()).not.toContain(listGreetings);
});

test('its action type is listed and executed, and why it waits is told', async () => {
  const { body } = await stack.api.get('/action-types');
  expect(JSON.stringify(body)).toContain('"greet"');
  const action = { action_id: 'greet', action_type: 'greet', config: { name: 'Ada' } };
  const workflow = await stack.api.createWorkflow({ name: 'greeting', actions: [action] });
  const run = await stack.api.execute(workflow);
  await until(async () => {
    const why = await stack.api.get(`/executions/${run}/why`);
    expect(why.body).toMatchObject({ root: { cause: { code: 'hello.nobody_answers' } } });
    return true;
  });
  await stack.api.post(`/workflows/executions/${run}/cancel`, {});
  await stack.api.ended(run);
});

test('its table is exported and erased with the tenant', async () => {
  // JSON lines.
  const exported = await (await fetch(`${stack.api.url}/tenants/default/export`)).text();
  expect(exported).toContain('"hello_greeting"');
  const preview = await stack.api.send('DELETE', '/tenants/default/data?dry_run=true');
  expect(preview.body).toMatchObject({ rows: { hello_greeting: 1 } });
  expect((await stack.api.send('DELETE', '/tenants/default/data?force=true')).status).toBe(202);
  await until(async () => (await stack.db.query('SELECT FROM hello_greeting')).rowCount === 0);
});
