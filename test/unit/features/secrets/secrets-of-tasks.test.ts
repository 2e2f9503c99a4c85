import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createKeyring } from '../../../../src/engine/keyring.ts';
import { type SealedSecret, secretContext } from '../../../../src/engine/ports/secrets.ts';
import { createSecretsOfTasks } from '../../../../src/features/secrets/task-secrets.ts';

const keys = [randomBytes(32).toString('base64')];

function setUp(more: { keyless?: boolean; shared?: '*' | string[] } = {}) {
  const ring = createKeyring(keys);
  const rows = new Map<string, SealedSecret>();
  const asked: string[][] = [];
  let now = 0;
  const secrets = createSecretsOfTasks({
    store: {
      sealed: (tenantId, names) => {
        asked.push([tenantId, ...names]);
        return Promise.resolve(names.flatMap((name) => rows.get(`${tenantId}/${name}`) ?? []));
      },
    },
    keyring: more.keyless === true ? undefined : ring,
    installed: { SHARED: 'of the installation', BOTH: 'of the installation' },
    shared: more.shared ?? ['default'],
    now: () => now,
  });
  return {
    asked,
    rows,
    secrets,
    later: (ms: number) => {
      now += ms;
    },
    put(tenantId: string, name: string, value: string, version = 1) {
      const envelope = ring?.seal(value, secretContext(tenantId, name, version)) ?? '';
      rows.set(`${tenantId}/${name}`, { name, version, hosts: undefined, envelope });
    },
    value: async (tenantId: string, name: string) => (await secrets.of(tenantId, [name])).get(name)?.value,
  };
}

test("a tenant's own secret goes before that of the installation, which only the tenants named may use", async () => {
  const { put, value } = setUp();
  put('default', 'BOTH', 'of the tenant');
  expect(await value('default', 'BOTH')).toBe('of the tenant');
  expect(await value('default', 'SHARED')).toBe('of the installation');
  await expect(value('another', 'SHARED')).rejects.toMatchObject({ code: 'secret_unknown', message: /'SHARED'/ });
  await expect(value('another', 'BOTH')).rejects.toMatchObject({ code: 'secret_unknown' });
  expect(await setUp({ shared: '*' }).value('another', 'SHARED')).toBe('of the installation');
});

test('names of prototypes are no secrets', async () => {
  await expect(setUp().value('default', 'constructor')).rejects.toMatchObject({ code: 'secret_unknown' });
});

test('what was read is read again after a while, at a change, and when it is not there', async () => {
  const { asked, put, value, later, secrets } = setUp();
  put('default', 'A', 'one');
  expect(await value('default', 'A')).toBe('one');
  put('default', 'A', 'two', 2);
  expect(await value('default', 'A')).toBe('one');
  expect(asked).toHaveLength(1);
  secrets.forget();
  expect(await value('default', 'A')).toBe('two');
  put('default', 'A', 'three', 3);
  later(5_000);
  expect(await value('default', 'A')).toBe('three');
  await expect(value('default', 'B')).rejects.toThrow();
  put('default', 'B', 'now');
  expect(await value('default', 'B')).toBe('now');
});

test('those of the installation too cost one query in a while', async () => {
  const { asked, value } = setUp();
  await value('default', 'SHARED');
  await value('default', 'SHARED');
  expect(asked).toEqual([['default', 'SHARED']]);
});

test('a row that was moved from another tenant does not open, and without a key none does', async () => {
  const moved = setUp();
  moved.put('victim', 'A', 'value');
  const row = moved.rows.get('victim/A');
  if (row !== undefined) moved.rows.set('thief/A', row);
  await expect(moved.value('thief', 'A')).rejects.toMatchObject({ code: 'unreadable_envelope' });
  const keyless = setUp({ keyless: true });
  keyless.put('default', 'A', 'value');
  await expect(keyless.value('default', 'A')).rejects.toMatchObject({ code: 'encryption_key_missing' });
});
