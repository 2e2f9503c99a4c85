/** Each role calls each RPC: let in or denied exactly as the operation that does the same. */
import { Code } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operationsOf } from '../../../../src/compose/features.ts';
import { type Access, ROLE_PERMISSIONS, ROLES } from '../../../../src/domain/access.ts';
import type { Identify } from '../../../../src/http/auth/identify.ts';
import { callOnce } from '../../../support/rpc-call.ts';
import { METHODS, nameOf, OPERATION_OF } from '../../../support/rpc-methods.ts';
import { openRpcServer, type RpcServer } from '../../../support/rpc-server.ts';

const PERMISSIONS = new Map((await operationsOf()).map(({ id, permission }) => [id, permission]));
const DENIED = [Code.Unauthenticated, Code.PermissionDenied];

/** `tenant role scope,scope`. */
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

let server: RpcServer;
beforeAll(async () => {
  server = await openRpcServer({}, { identify: byWord });
});
afterAll(() => server.close());

const call = (method: (typeof METHODS)[number], authorization?: string) =>
  callOnce(server.transport, method, {}, { headers: authorization === undefined ? {} : { authorization } });

test('every RPC that is served has the operation that does the same', () => {
  expect(METHODS.map(nameOf).sort()).toEqual(Object.keys(OPERATION_OF).sort());
  for (const id of Object.values(OPERATION_OF)) if (id !== 'open') expect(PERMISSIONS.has(id), id).toBe(true);
});

describe.each(['default', 'acme'])('in the tenant %s', (tenantId) => {
  test.each(ROLES)('a %s is let in or denied as the table says', async (role) => {
    for (const method of METHODS) {
      const name = nameOf(method);
      const needed = PERMISSIONS.get(OPERATION_OF[name] ?? '') ?? 'public';
      const { error } = await call(method, `${tenantId} ${role}`);
      const free = needed === 'public' || needed === 'authenticated';
      if (free || ROLE_PERMISSIONS[role].includes(needed)) {
        expect(DENIED, `${name}: ${error?.message}`).not.toContain(error?.code);
      } else {
        expect(error?.code, name).toBe(Code.PermissionDenied);
        expect(error?.rawMessage, name).toContain(`'${needed}'`);
      }
    }
  });
});

test('without credentials all is UNAUTHENTICATED but the health checks, reflection included', async () => {
  for (const method of METHODS) {
    const { error } = await call(method);
    const name = nameOf(method);
    if (OPERATION_OF[name] === 'open') expect(DENIED, name).not.toContain(error?.code);
    else expect(error?.code, name).toBe(Code.Unauthenticated);
  }
});

test('an action type needs the permission for tasks of its own making, which an operator has not', async () => {
  const executeTool = METHODS.find((method) => nameOf(method).endsWith('ExecuteTool'));
  if (executeTool === undefined) throw new Error('there is no ExecuteTool');
  const ask = (word: string) =>
    callOnce(server.transport, executeTool, { tool: 'test_task' }, { headers: { authorization: word } });
  expect((await ask('acme operator')).error?.code).toBe(Code.PermissionDenied);
  expect((await ask('acme editor')).error).toBeUndefined();
});
