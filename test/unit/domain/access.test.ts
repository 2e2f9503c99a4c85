import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type Access,
  ALL_PERMISSIONS,
  allows,
  isScope,
  OPEN_ACCESS,
  PERMISSIONS,
  type Permission,
  ROLE_PERMISSIONS,
  ROLES,
  type Role,
} from '../../../src/domain/access.ts';

const withRoles = (roles: readonly Role[], scopes?: readonly string[]): Access => ({ means: 'jwt', roles, scopes });
const allowed = (access: Access, tenantId = 'acme') =>
  ALL_PERMISSIONS.filter((permission) => allows({ tenantId, access }, permission));
const isWhole = (permission: Permission) => permission.startsWith('system:');

describe('roles', () => {
  test('who has no role may do nothing', () => {
    expect(allowed(withRoles([]))).toEqual([]);
    expect(allowed(withRoles([]), 'default')).toEqual([]);
  });

  test('an administrator of a tenant may do everything but what concerns other tenants', () => {
    expect(allowed(withRoles(['admin']))).toEqual(ALL_PERMISSIONS.filter((permission) => !isWhole(permission)));
  });

  test('an administrator of the tenant that runs the installation may do everything', () => {
    expect(allowed(withRoles(['admin']), 'default')).toEqual(ALL_PERMISSIONS);
  });

  test('where nothing is checked everybody may do everything, in whatever tenant', () => {
    expect(allowed(OPEN_ACCESS, 'acme')).toEqual(ALL_PERMISSIONS);
  });

  test('a viewer reads, and reads no secrets, keys or audit', () => {
    expect(ROLE_PERMISSIONS.viewer.every((permission) => permission.endsWith(':read'))).toBe(true);
    for (const permission of ['secrets:read', 'keys:read', 'audit:read'] as const) {
      expect(allowed(withRoles(['viewer']))).not.toContain(permission);
    }
  });

  test('an operator controls what runs, starts workflows that exist, and changes no definition', () => {
    const permissions = allowed(withRoles(['operator']), 'default');
    expect(permissions).toEqual(
      expect.arrayContaining([
        ...['executions:run', 'executions:control', 'infrastructure:control', 'system:control', 'approvals:decide'],
      ]),
    );
    expect(permissions.filter((permission) => permission.endsWith(':write'))).toEqual([]);
    for (const permission of ['executions:assign', 'approvals:link', 'approvals:override'])
      expect(permissions).not.toContain(permission);
  });

  test('an editor defines and runs, and sets no secrets, keys or data of the tenant', () => {
    const permissions = allowed(withRoles(['editor']));
    expect(permissions).toEqual(
      expect.arrayContaining([
        'workflows:write',
        'executions:run',
        'schedules:write',
        'registry:write',
        'secrets:read',
      ]),
    );
    for (const permission of [
      'secrets:write',
      'keys:read',
      'keys:write',
      'data:erase',
      'infrastructure:write',
      'audit:read',
    ])
      expect(permissions).not.toContain(permission);
  });

  test('each of viewer, operator, editor and admin may do what the one before may', () => {
    const ladder: Role[] = ['viewer', 'operator', 'editor', 'admin'];
    for (const [index, role] of ladder.slice(1).entries()) {
      const before = ladder[index];
      expect(ROLE_PERMISSIONS[role]).toEqual(expect.arrayContaining([...ROLE_PERMISSIONS[before ?? 'viewer']]));
      expect(ROLE_PERMISSIONS[role].length).toBeGreaterThan(ROLE_PERMISSIONS[before ?? 'viewer'].length);
    }
  });

  test('a worker works on external tasks, says that a service is alive, and does nothing else', () => {
    expect(allowed(withRoles(['worker']), 'default')).toEqual(['tasks:work', 'registry:heartbeat']);
  });

  test('only workers and administrators lease external tasks', () => {
    const roles = ROLES.filter((role) => allows({ tenantId: 'acme', access: withRoles([role]) }, 'tasks:work'));
    expect(roles).toEqual(['admin', 'worker']);
  });

  test('roles add up', () => {
    const both = allowed(withRoles(['viewer', 'worker']));
    expect(new Set(both)).toEqual(new Set([...allowed(withRoles(['viewer'])), ...allowed(withRoles(['worker']))]));
  });

  test('no permission is given twice by a role', () => {
    for (const role of ROLES) expect(new Set(ROLE_PERMISSIONS[role]).size, role).toBe(ROLE_PERMISSIONS[role].length);
  });
});

describe('what concerns the whole installation', () => {
  test.each(ROLES)('is nothing for a %s of another tenant', (role) => {
    expect(allowed(withRoles([role])).filter(isWhole)).toEqual([]);
  });

  test.each([
    ['viewer', ['system:read']],
    ['operator', ['system:read', 'system:inspect', 'system:control']],
    ['worker', []],
  ] as const)('is for a %s of the tenant that runs it: %j', (role, permissions) => {
    expect(allowed(withRoles([role]), 'default').filter(isWhole)).toEqual(permissions);
  });

  test('is not reached by a scope from another tenant', () => {
    expect(allowed(withRoles(['admin'], ['system:*', 'system:read']))).toEqual([]);
  });
});

describe('scopes', () => {
  test('take away what they do not name', () => {
    expect(allowed(withRoles(['admin'], ['executions:control', 'executions:read']))).toEqual([
      'executions:read',
      'executions:control',
    ]);
  });

  test('that let start executions before single tasks had a permission of their own let start both', () => {
    expect(allowed(withRoles(['editor'], ['executions:run']))).toEqual(['executions:run', 'executions:assign']);
    expect(allowed(withRoles(['operator'], ['executions:run']))).toEqual(['executions:run']);
    expect(allowed(withRoles(['editor'], ['executions:assign']))).toEqual(['executions:assign']);
  });

  test('with a star are all of one resource', () => {
    expect(allowed(withRoles(['admin'], ['schedules:*']))).toEqual([
      'schedules:read',
      'schedules:write',
      'schedules:control',
    ]);
  });

  test('give nothing that the roles do not', () => {
    expect(allowed(withRoles(['viewer'], ['workflows:*']))).toEqual(['workflows:read']);
    expect(allowed(withRoles(['worker'], ['executions:run']))).toEqual([]);
  });

  test('none at all leave nothing', () => {
    expect(allowed(withRoles(['admin'], []))).toEqual([]);
  });

  test.each([
    '*',
    '*:*',
    '*:read',
    'executions',
    'executions:',
    'executions:**',
    'Executions:read',
    ' executions:read',
    'executions:read ',
    ':*',
    '',
    '__proto__',
    'execution:*',
    'openid',
  ])('%j is none', (text) => {
    expect(isScope(text)).toBe(false);
    expect(allowed(withRoles(['admin'], [text]), 'default')).toEqual([]);
  });

  test('every permission and every resource with a star is one', () => {
    for (const permission of ALL_PERMISSIONS) {
      expect(isScope(permission), permission).toBe(true);
      expect(isScope(`${permission.split(':')[0]}:*`), permission).toBe(true);
    }
  });
});

test('docs/security.md has every permission, what it lets do and who has it', () => {
  const rows = readFileSync('docs/security.md', 'utf8')
    .split('\n')
    .filter((line) => /^\| `\w+:\w+` \|/.test(line));
  const cells = rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  expect(cells).toEqual(
    ALL_PERMISSIONS.map((permission) => [
      `\`${permission}\``,
      PERMISSIONS[permission],
      ...ROLES.map((role) => (ROLE_PERMISSIONS[role].includes(permission) ? 'yes' : '')),
    ]),
  );
});
