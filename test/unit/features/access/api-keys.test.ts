/** API keys: how they are spelled, what may be granted, and for how long a look-up is cached. */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Access, Role } from '../../../../src/domain/access.ts';
import type { Caller } from '../../../../src/engine/ports/use-cases.ts';
import type { ApiKey, ApiKeyStore, FoundKey, NewApiKey } from '../../../../src/features/access/api-key-ports.ts';
import { hashOfKey, isApiKey, makeApiKey, prefixOfKey } from '../../../../src/features/access/api-key-text.ts';
import { createFindApiKey } from '../../../../src/features/access/find-api-key.ts';
import { createApiKeys } from '../../../../src/features/access/manage-api-keys.ts';

const caller = (tenantId = 'acme'): Caller => ({
  ...{ tenantId, userId: 'anna', correlationId: undefined, traceId: '0'.repeat(32), parentSpanId: undefined },
});

test('a key has 256 random bits, shows eight letters of them, and is recognised by its checksum', () => {
  const key = makeApiKey(randomBytes);
  expect(key).toMatch(/^orch_[\w-]{49}$/);
  expect(makeApiKey(randomBytes)).not.toBe(key);
  expect(prefixOfKey(key)).toBe(key.slice(0, 13));
  expect(hashOfKey(key)).toHaveLength(32);
  expect(isApiKey(key)).toBe(true);
  for (const at of [5, 20, 47, 48, 53]) {
    expect(isApiKey(`${key.slice(0, at)}${key[at] === 'A' ? 'B' : 'A'}${key.slice(at + 1)}`), `at ${at}`).toBe(false);
  }
  for (const other of ['', 'orch_', key.slice(0, -1), `${key}A`, ` ${key}`, key.toUpperCase()]) {
    expect(isApiKey(other)).toBe(false);
  }
});

function keysOf(rows: Map<string, ApiKey> = new Map()) {
  const toKey = (fresh: NewApiKey): ApiKey => ({
    ...fresh,
    ...{ expiresAt: null, createdAt: new Date(0), rotatedAt: null, previousUntil: null },
    ...{ lastUsedAt: null, revokedAt: null },
  });
  const store: ApiKeyStore = {
    async create(fresh, limit) {
      if (rows.size >= limit) return undefined;
      rows.set(fresh.id, toKey(fresh));
      return rows.get(fresh.id);
    },
    list: async () => ({ items: [...rows.values()], total: rows.size }),
    find: async (_tenantId, id) => rows.get(id),
    rotate: async (_tenantId, id) => rows.get(id),
    revoke: async (_tenantId, id) => rows.has(id),
  };
  return { rows, keys: createApiKeys({ keys: store, newId: () => `key-${rows.size}`, random: randomBytes }) };
}

const access = (roles: Role[], scopes?: string[]): Access => ({ means: 'jwt', roles, scopes });

test.each<[string, string, Access, { roles: Role[]; scopes?: string[] }, boolean]>([
  ['an admin another one', 'acme', access(['admin']), { roles: ['admin'] }, true],
  ['an admin less', 'acme', access(['admin']), { roles: ['worker', 'viewer'] }, true],
  ['an editor an admin', 'acme', access(['editor']), { roles: ['admin'] }, false],
  ['an editor an operator', 'acme', access(['editor']), { roles: ['operator'] }, true],
  [
    'an editor an admin that is limited to what an editor may',
    'acme',
    access(['editor']),
    { roles: ['admin'], scopes: ['executions:*'] },
    true,
  ],
  ['an editor a worker', 'acme', access(['editor']), { roles: ['worker'] }, false],
  ['who is limited without a limit', 'acme', access(['admin'], ['keys:write']), { roles: ['admin'] }, false],
  [
    'who is limited within its limit',
    'acme',
    access(['admin'], ['keys:*', 'executions:*']),
    { roles: ['admin'], scopes: ['keys:write', 'executions:run'] },
    true,
  ],
  [
    'who is limited beyond it',
    'acme',
    access(['admin'], ['keys:*']),
    { roles: ['admin'], scopes: ['keys:*', 'audit:read'] },
    false,
  ],
  ['nobody nothing', 'acme', access([]), { roles: ['viewer'] }, false],
  ['nobody a key that may do nothing', 'acme', access([]), { roles: ['viewer'], scopes: [] }, true],
  ['one of the installation all of it', 'default', access(['admin']), { roles: ['admin'] }, true],
])('%s gives %s: %#', async (_what, tenantId, own, given, may) => {
  const { keys, rows } = keysOf();
  const made = keys.create({ caller: caller(tenantId), access: own }, { name: 'x', ...given });
  if (!may) {
    await expect(made).rejects.toMatchObject({ code: 'forbidden' });
    expect(rows.size).toBe(0);
    return;
  }
  const { key, apiKey } = await made;
  expect(isApiKey(key)).toBe(true);
  expect(JSON.stringify([...rows.values()])).not.toContain(key);
  expect(apiKey).toMatchObject({ tenantId, roles: given.roles, scopes: given.scopes, createdBy: 'anna' });
});

test('nobody takes over a key that may do more by replacing it', async () => {
  const { keys } = keysOf();
  const admin = { caller: caller(), access: access(['admin']) };
  const { apiKey, key } = await keys.create(admin, { name: 'x', roles: ['admin'] });
  const limited = { caller: caller(), access: access(['admin'], ['keys:write']) };
  await expect(keys.rotate(limited, apiKey.id, 60)).rejects.toMatchObject({ code: 'forbidden' });
  const replaced = await keys.rotate(admin, apiKey.id, 60);
  expect(isApiKey(replaced.key)).toBe(true);
  expect(replaced.key).not.toBe(key);
});

test('a scope that is no permission is named', async () => {
  const { keys } = keysOf();
  const fields = { name: 'x', roles: ['admin' as const], scopes: ['executions:run', 'everything', '*'] };
  await expect(keys.create({ caller: caller(), access: access(['admin']) }, fields)).rejects.toMatchObject({
    code: 'invalid_request',
    errors: [{ path: 'scopes.1' }, { path: 'scopes.2' }],
  });
});

function directory() {
  const known = new Map<string, FoundKey>();
  const asked: string[] = [];
  const used: string[][] = [];
  let now = 0;
  let down = false;
  const add = (remainingMs = Number.POSITIVE_INFINITY) => {
    const key = makeApiKey(randomBytes);
    const hash = hashOfKey(key);
    const id = `${known.size}`;
    known.set(hash.toString('hex'), { id, tenantId: 'acme', roles: ['viewer'], scopes: undefined, hash, remainingMs });
    return key;
  };
  const finder = createFindApiKey({
    directory: {
      async lookUp(hash) {
        asked.push(hash.toString('hex'));
        if (down) throw new Error('connection refused');
        return known.get(hash.toString('hex'));
      },
      async used(ids) {
        used.push([...ids]);
      },
    },
    elapsed: () => now,
    cachedMs: 5_000,
    maxCached: 3,
  });
  return {
    ...{ finder, known, asked, used, add },
    pass: (ms: number) => {
      now += ms;
    },
    fail: (yes: boolean) => {
      down = yes;
    },
  };
}

test('a key is cached for five seconds: then one that was revoked is nobody’s', async () => {
  const { finder, known, asked, add, pass } = directory();
  const key = add();
  const found = await Promise.all([finder.find(key), finder.find(key), finder.find(key)]);
  expect(found).toEqual(
    Array(3).fill({
      userId: 'api-key-0',
      tenantId: 'acme',
      access: { means: 'api_key', credential: `0 ${prefixOfKey(key)}`, roles: ['viewer'], scopes: undefined },
    }),
  );
  expect(asked).toHaveLength(1);
  known.clear();
  pass(4_999);
  expect(await finder.find(key)).toBeDefined();
  pass(1);
  expect(await finder.find(key)).toBeUndefined();
  // Nor is an unknown key read again and again.
  expect(await finder.find(key)).toBeUndefined();
  expect(asked).toHaveLength(2);
});

test('a key that expires within these seconds is valid no longer than it may', async () => {
  const { finder, known, add, pass } = directory();
  const key = add(1_000);
  expect(await finder.find(key)).toBeDefined();
  known.clear();
  pass(1_000);
  expect(await finder.find(key)).toBeUndefined();
});

test('a failed look-up is not cached', async () => {
  const { finder, asked, add, fail } = directory();
  const key = add();
  fail(true);
  await expect(finder.find(key)).rejects.toThrow('connection refused');
  fail(false);
  expect(await finder.find(key)).toBeDefined();
  expect(asked).toHaveLength(2);
});

test('only so many are cached, the oldest goes', async () => {
  const { finder, asked, add } = directory();
  const keys = Array.from({ length: 5 }, () => add());
  for (const key of keys) await finder.find(key);
  for (const key of keys.slice(2)) await finder.find(key);
  expect(asked).toHaveLength(5);
  await finder.find(keys[0] ?? '');
  expect(asked).toHaveLength(6);
});

test('uses are written together, each key once, and none when there were none', async () => {
  const { finder, used, add } = directory();
  await finder.flush();
  const [one, two] = [add(), add()];
  for (const key of [one, two, one, one]) await finder.find(key);
  await finder.find(makeApiKey(randomBytes));
  await finder.flush();
  await finder.flush();
  expect(used).toEqual([['0', '1']]);
});
