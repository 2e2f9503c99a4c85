import { afterEach, expect, test } from 'vitest';
import { type Door, openDoor } from '../../support/http-app.ts';

const doors: Door[] = [];
async function open(...config: Parameters<typeof openDoor>): Promise<Door> {
  const door = await openDoor(...config);
  doors.push(door);
  return door;
}
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()));
});

const TASK = { task_type: 'test_task' };

test('where nothing is required the headers say who asks', async () => {
  const door = await open();
  await door.post('/assign-task', TASK, {
    'x-user-id': 'user@example.com',
    'x-tenant-id': 'acme',
    'x-correlation-id': 'c-1',
  });
  await door.post('/assign-task', TASK);
  expect(door.asked.tasks.map(({ caller }) => caller)).toMatchObject([
    { userId: 'user@example.com', tenantId: 'acme', correlationId: 'c-1' },
    { userId: 'anonymous', tenantId: 'default', correlationId: undefined },
  ]);
});

test('a name that cannot be one is 400', async () => {
  const door = await open();
  const answer = await door.post('/assign-task', TASK, { 'x-tenant-id': 'x'.repeat(256) });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ errors: [{ path: 'X-Tenant-ID' }] });
});

test('where no key is configured a presented one changes nothing', async () => {
  const door = await open();
  expect((await door.post('/assign-task', TASK, { 'x-api-key': 'whatever', authorization: 'Bearer x' })).status).toBe(
    202,
  );
});

test('with keys configured every path but liveness and readiness needs one', async () => {
  const door = await open({ apiKeys: ['first-key', 'second-key'] });
  for (const path of ['/health', '/livez', '/healthz', '/ready', '/readyz', '/health/']) {
    expect((await door.fetch(path)).status, path).toBe(200);
  }
  for (const path of [
    '/',
    '/tasks',
    '/docs',
    '/openapi.json',
    '/metrics',
    '/admin/queues',
    '/nowhere',
    '/docs/assets/swagger-ui.css',
  ]) {
    const answer = await door.fetch(path);
    expect(answer.status, path).toBe(401);
    expect(answer.headers.get('www-authenticate')).toContain('Bearer');
    expect(await answer.json()).toMatchObject({ code: 'unauthorized', status: 401 });
  }
});

test.each([
  [{ 'x-api-key': 'second-key' }],
  [{ authorization: 'Bearer second-key' }],
  [{ authorization: 'bearer  first-key' }],
])('%j is let in', async (headers: Record<string, string>) => {
  const door = await open({ apiKeys: ['first-key', 'second-key'] });
  expect((await door.fetch('/tasks', { headers })).status).toBe(200);
});

test('a wrong key is 401, at liveness too', async () => {
  const door = await open({ apiKeys: ['first-key'] });
  for (const path of ['/tasks', '/health']) {
    expect((await door.fetch(path, { headers: { 'x-api-key': 'first-kez' } })).status, path).toBe(401);
  }
});

test('with a key the headers are not believed', async () => {
  const door = await open({ apiKeys: ['first-key'] });
  await door.post('/assign-task', TASK, { 'x-api-key': 'first-key', 'x-tenant-id': 'other', 'x-user-id': 'root' });
  expect(door.asked.tasks[0]?.caller.tenantId).toBe('default');
  expect(door.asked.tasks[0]?.caller.userId).toMatch(/^api-key-[0-9a-f]{8}$/);
});

test('a preflight needs no key', async () => {
  const door = await open({ apiKeys: ['first-key'] });
  const preflight = { origin: 'https://front.example', 'access-control-request-method': 'POST' };
  expect((await door.fetch('/assign-task', { method: 'OPTIONS', headers: preflight })).status).toBe(204);
});
