/** Each role calls each operation: let in or denied exactly as the tables of the domain say. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operationsOf } from '../../../src/compose/features.ts';
import {
  type Access,
  allows,
  type Permission,
  ROLE_PERMISSIONS,
  ROLES,
  type Role,
  SYSTEM_TENANT,
} from '../../../src/domain/access.ts';
import type { Identify } from '../../../src/http/auth/identify.ts';
import { type Door, openDoor } from '../../support/http-app.ts';

const API_OPERATIONS = await operationsOf();

const TENANTS = [SYSTEM_TENANT, 'acme'];
const OTHERS = ['get', 'put', 'post', 'delete', 'patch'];

/** Credentials that say by themselves who they are: `tenant role,role scope,scope`. */
const byWord: Identify = (request, { correlationId, traceId, parentSpanId }) => {
  const said = request.get('authorization');
  if (said === undefined) return { detail: 'Credentials are required', why: 'none', presented: false };
  const [tenantId = '', roles = '', scopes] = said.split(' ');
  const access: Access = {
    means: 'jwt',
    roles: ROLES.filter((role) => roles.split(',').includes(role)),
    scopes: scopes?.split(','),
  };
  return { caller: { tenantId, userId: 'u', correlationId, traceId, parentSpanId }, access };
};

let door: Door;
let boarded: string[] = [];
beforeAll(async () => {
  door = await openDoor(
    {},
    {
      identify: byWord,
      board: (request, response) => {
        boarded.push(`${request.method} ${request.originalUrl}`);
        response.end('the board');
      },
    },
  );
});
afterAll(() => door.close());

async function ask(method: string, path: string, authorization?: string) {
  const answer = await door.fetch(path.replaceAll(/\{\w+\}/g, 'x'), {
    method: method.toUpperCase(),
    headers: { accept: 'application/json', ...(authorization === undefined ? {} : { authorization }) },
  });
  const body = await answer.text();
  return { status: answer.status, body, type: answer.headers.get('content-type') };
}

describe.each(TENANTS)('in the tenant %s', (tenantId) => {
  test.each(ROLES)('a %s is let in or denied as the table says', async (role: Role) => {
    for (const { id, method, path, permission } of API_OPERATIONS) {
      const answer = await ask(method, path, `${tenantId} ${role}`);
      const free = permission === 'public' || permission === 'authenticated';
      const system = !free && permission.startsWith('system:');
      // Spelled out anew: this is the rule, not what the code makes of it.
      if (free || (ROLE_PERMISSIONS[role].includes(permission) && (!system || tenantId === 'default'))) {
        expect([401, 403], id).not.toContain(answer.status);
      } else {
        expect(answer, id).toMatchObject({ status: 403, type: 'application/problem+json; charset=utf-8' });
        const detail = expect.stringContaining(`'${permission}'`) as string;
        expect(JSON.parse(answer.body), id).toMatchObject({ code: 'forbidden', detail });
      }
    }
  });
});

test('the weight of a tenant is set by those who control the installation, and by nobody of another tenant', async () => {
  const refused: string[] = [];
  for (const tenantId of TENANTS) {
    for (const role of ROLES) {
      const { status } = await ask('put', '/tenants/acme/weight', `${tenantId} ${role}`);
      if (status === 403) refused.push(`${tenantId} ${role}`);
    }
  }
  expect(refused).toEqual(['default viewer', 'default worker', ...ROLES.map((role) => `acme ${role}`)]);
});

test('without credentials all is 401 but what is public', async () => {
  for (const { id, method, path, permission } of API_OPERATIONS) {
    const { status } = await ask(method, path);
    if (permission === 'public') expect(status, id).not.toBe(401);
    else expect(status, id).toBe(401);
  }
});

test('public is what tells that the service is there, and what carries its own credentials', () => {
  const open = API_OPERATIONS.filter(({ permission }) => permission === 'public').map(({ path }) => path);
  const probes = ['/health', '/livez', '/healthz', '/ready', '/readyz'];
  const login = ['/auth/login', '/auth/callback', '/auth/logout'];
  expect(new Set(open)).toEqual(new Set([...probes, ...login, '/registry/replicate', '/approvals/{token}']));
});

test('who has no role, or no scope that fits, reaches nothing but what anybody does', async () => {
  const guarded = API_OPERATIONS.filter(({ permission }) => permission !== 'public' && permission !== 'authenticated');
  for (const word of ['default nobody', 'default admin openid,profile']) {
    for (const op of guarded) expect((await ask(op.method, op.path, word)).status, `${word} ${op.id}`).toBe(403);
    expect((await ask('get', '/openapi.json', word)).status).toBe(200);
  }
});

test('a scope lets in to what it names and to nothing else', async () => {
  const word = 'default admin schedules:read';
  for (const op of API_OPERATIONS) {
    if (op.permission === 'public' || op.permission === 'authenticated') continue;
    const { status } = await ask(op.method, op.path, word);
    if (op.permission === 'schedules:read') expect(status, op.id).not.toBe(403);
    else expect(status, op.id).toBe(403);
  }
});

test('who may not is denied before the body is read, and nothing is done', async () => {
  const answer = await door.fetch('/assign-task', {
    method: 'POST',
    headers: { authorization: 'acme viewer', 'content-type': 'application/json' },
    body: '{ this is no JSON',
  });
  expect(answer.status).toBe(403);
  const good = await door.post('/assign-task', { task_type: 'test_task' }, { authorization: 'acme viewer' });
  expect(good.status).toBe(403);
  expect(door.asked.tasks).toEqual([]);
});

test('an operator starts workflows that exist, alone, many at once and by name, and no single task of its own making', async () => {
  const operator = { authorization: 'acme operator' };
  for (const path of ['/workflows/w/execute', '/workflows/w/executions']) {
    const body = path.endsWith('s') ? { items: [{}] } : {};
    expect((await door.post(path, body, operator)).status, path).toBe(202);
  }
  const task = { task_type: 'test_task' };
  const before = door.asked.tasks.length;
  const refused = await door.post('/assign-task', task, operator);
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({
    code: 'forbidden',
    detail: expect.stringContaining('executions:assign'),
  });
  expect(door.asked.tasks).toHaveLength(before);
  expect((await door.post('/assign-task', { task_type: 'a-workflow' }, operator)).status).toBe(202);
  const many = await door.post('/assign-tasks', { tasks: [task, { task_type: 'a-workflow' }] }, operator);
  expect(await many.json()).toMatchObject({
    items: [
      { index: 0, error: { code: 'forbidden' } },
      { index: 1, status: 'assigned' },
    ],
  });
  expect((await door.post('/assign-task', task, { authorization: 'acme editor' })).status).toBe(202);
});

test('HEAD requires the same permission as GET', async () => {
  const head = (authorization: string) => door.fetch('/workflows', { method: 'HEAD', headers: { authorization } });
  expect((await head('acme worker')).status).toBe(403);
  expect((await head('acme viewer')).status).toBe(200);
});

test('only the methods of an operation are served, whoever the caller is', async () => {
  for (const path of new Set(API_OPERATIONS.map((op) => op.path))) {
    const served = API_OPERATIONS.filter((op) => op.path === path).map(({ method }) => method as string);
    for (const method of OTHERS.filter((other) => !served.includes(other))) {
      expect((await ask(method, path, 'default admin')).status, `${method} ${path}`).toBe(405);
    }
  }
});

describe('Bull Board', () => {
  const may = (role: Role, permission: Permission, tenantId: string) =>
    allows({ tenantId, access: { means: 'jwt', roles: [role], scopes: undefined } }, permission);

  test.each(TENANTS.flatMap((tenant) => ROLES.map((role) => [tenant, role] as const)))(
    '%s %s',
    async (tenantId, role) => {
      boarded = [];
      const looks = tenantId === 'default' && (role === 'operator' || role === 'editor' || role === 'admin');
      expect(may(role, 'system:inspect', tenantId)).toBe(looks);
      expect((await ask('get', '/admin/queues/api/queues', `${tenantId} ${role}`)).status).toBe(looks ? 200 : 403);
      expect((await ask('put', '/admin/queues/api/queues/x/pause', `${tenantId} ${role}`)).status).toBe(
        looks ? 200 : 403,
      );
      expect(boarded).toEqual(looks ? ['GET /admin/queues/api/queues', 'PUT /admin/queues/api/queues/x/pause'] : []);
    },
  );

  test('a key that may only read changes nothing', async () => {
    boarded = [];
    const word = 'default admin system:inspect';
    expect((await ask('get', '/admin/queues', word)).status).toBe(200);
    for (const method of ['post', 'put', 'patch', 'delete']) {
      expect((await ask(method, '/admin/queues/api/queues/x/pause', word)).status, method).toBe(403);
    }
    expect(boarded).toEqual(['GET /admin/queues']);
  });

  test('nobody unknown sees it', async () => {
    expect((await ask('get', '/admin/queues')).status).toBe(401);
  });
});
