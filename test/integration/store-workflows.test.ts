import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_RETRY, type Definition } from '../../src/domain/definition/definition.ts';
import type { WorkflowStore } from '../../src/engine/ports/read-models.ts';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import { isUnavailable } from '../../src/store/core/unavailable.ts';
import { createWorkflowStore } from '../../src/store/runs/workflows.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let place: TestDatabase;
let database: Database;
let store: WorkflowStore;
let made = 0;
beforeAll(async () => {
  place = await createTestDatabase();
  database = openDatabase(place.url, { name: 'store-workflows', max: 8, onError: () => undefined });
  store = createWorkflowStore(database.prisma, () => {
    made += 1;
    return `workflow-${made}`;
  });
});
afterAll(async () => {
  await database.close();
  await place.drop();
});

function definition(name: string, fields: Partial<Definition> = {}): Definition {
  return {
    name,
    tags: [],
    parameters: [],
    actions: [
      {
        action_id: 'greet',
        action_type: 'test_task',
        config: { message: '{{message}}', nothing: null },
        depends_on: [],
        run_if: 'all_succeeded',
        retry: DEFAULT_RETRY,
        timeout_seconds: 300,
        on_failure: 'fail',
      },
    ],
    ...fields,
  };
}

async function addRun(tenantId: string, workflowId: string, final: boolean): Promise<void> {
  await database.pool.query(
    `INSERT INTO run (id, tenant_id, workflow_id, workflow_version, parameters, user_id, status, final)
     VALUES (gen_random_uuid()::text, $1, $2, 1, '{}', 'u', $3, $4)`,
    [tenantId, workflowId, final ? 'completed' : 'running', final],
  );
}

test('a workflow comes back as it was kept, for its tenant alone', async () => {
  const given = definition('Grüße 👋', { description: 'x', tags: ['a', 'b'], output: null, version: '1.2' });
  const { id } = await store.create('one', 'user@example.com', given);
  const found = await store.find('one', id);
  expect(found).toMatchObject({ id, version: 1, currentVersion: 1, status: 'active', createdBy: 'user@example.com' });
  expect(found?.definition).toEqual(given);
  expect(await store.find('two', id)).toBeUndefined();
  expect(await store.existed('two', id)).toBe(false);
});

test('versions never change, and the newest is the one that is found', async () => {
  const { id } = await store.create('versions', 'u', definition('first'));
  const second = await store.update('versions', 'v', id, {
    expectedVersion: 1,
    definition: definition('second', { tags: ['t'] }),
  });
  expect(second).toMatchObject({
    done: 'updated',
    workflow: { version: 2, definition: { name: 'second' }, createdBy: 'u' },
  });
  expect((await store.find('versions', id))?.definition.name).toBe('second');
  expect((await store.find('versions', id, 1))?.definition.name).toBe('first');
  expect(await store.find('versions', id, 3)).toBeUndefined();
  expect(await store.versions('versions', id, 1, 1)).toMatchObject({
    total: 2,
    items: [{ version: 2, name: 'second', createdBy: 'v', actions: 1 }],
  });
  expect(await store.versions('versions', id, 2, 1)).toMatchObject({ items: [{ version: 1, name: 'first' }] });
  expect(await store.versions('other', id, 1, 1)).toBeUndefined();
});

test('of many changes to one version one is made', async () => {
  const { id } = await store.create('race', 'u', definition('first'));
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      store.update('race', 'u', id, { expectedVersion: 1, definition: definition(`change-${index}`) }),
    ),
  );
  expect(outcomes.filter(({ done }) => done === 'updated')).toHaveLength(1);
  expect(outcomes.filter(({ done }) => done === 'stale')).toHaveLength(7);
  expect((await store.versions('race', id, 1, 50))?.total).toBe(2);
});

test('a status alone makes no version', async () => {
  const { id } = await store.create('status', 'u', definition('x'));
  expect(await store.update('status', 'u', id, { expectedVersion: 1, status: 'paused' })).toMatchObject({
    done: 'updated',
    workflow: { version: 1, status: 'paused' },
  });
  expect(await store.update('nobody', 'u', id, { expectedVersion: 1, status: 'active' })).toEqual({ done: 'unknown' });
});

test('a name leads to the newest workflow of that name, an id before any name', async () => {
  const older = await store.create('names', 'u', definition('same'));
  const newer = await store.create('names', 'u', definition('same'));
  await database.pool.query("UPDATE workflow SET created_at = created_at - interval '1 hour' WHERE id = $1", [
    older.id,
  ]);
  expect((await store.resolve('names', 'same'))?.id).toBe(newer.id);
  const named = await store.create('names', 'u', definition(older.id));
  expect((await store.resolve('names', older.id))?.id).toBe(older.id);
  expect(named.id).not.toBe(older.id);
});

test('a list is filtered, paged and counted', async () => {
  for (const [name, user, tags] of [
    ['Alpha 100%', 'a', ['x']],
    ['beta', 'b', ['x', 'y']],
    ['Alphabet', 'a', []],
  ] as const) {
    await store.create('lists', user, definition(name, { tags: [...tags] }));
  }
  const names = async (filter: object) => {
    const { items, total } = await store.list('lists', { page: 1, page_size: 50, ...filter });
    expect(total).toBe(items.length);
    return items.map(({ name }) => name).sort();
  };
  expect(await names({})).toEqual(['Alpha 100%', 'Alphabet', 'beta']);
  expect(await names({ name: 'ALPHA' })).toEqual(['Alpha 100%', 'Alphabet']);
  expect(await names({ name: '0%' })).toEqual(['Alpha 100%']);
  expect(await names({ tag: 'x', created_by: 'b' })).toEqual(['beta']);
  expect(await names({ status: 'archived' })).toEqual([]);
  const page = await store.list('lists', { page: 2, page_size: 2 });
  expect(page.total).toBe(3);
  expect(page.items).toHaveLength(1);
  expect(page.items[0]).toMatchObject({ version: 1, actions: 1, parameters: 0 });
});

test('a deleted workflow is gone but has been, and active runs hold it', async () => {
  const { id } = await store.create('deletion', 'u', definition('x'));
  await addRun('deletion', id, true);
  await addRun('deletion', id, false);
  expect(await store.remove({ tenantId: 'deletion', userId: 'u' }, id, undefined)).toBe('active');
  expect(await store.remove({ tenantId: 'deletion', userId: 'u' }, id, 'operation')).toBe('cancelling');
  expect(await store.remove({ tenantId: 'deletion', userId: 'u' }, id, 'another')).toBe('unknown');
  expect(await store.find('deletion', id)).toBeUndefined();
  expect(await store.existed('deletion', id)).toBe(true);
  const { id: idle } = await store.create('deletion', 'u', definition('y'));
  await addRun('deletion', idle, true);
  expect(await store.remove({ tenantId: 'deletion', userId: 'u' }, idle, undefined)).toBe('removed');
});

test('a server that is not there is unavailable, to Prisma and to the pool; a wrong statement is not', async () => {
  const away = openDatabase('postgresql://x:y@127.0.0.1:1/none', { name: 'away', onError: () => undefined });
  try {
    const errors = await Promise.all([
      createWorkflowStore(away.prisma, () => 'x')
        .find('t', 'x')
        .catch((error: unknown) => error),
      createWorkflowStore(away.prisma, () => 'x')
        .create('t', 'u', definition('x'))
        .catch((error: unknown) => error),
      createWorkflowStore(away.prisma, () => 'x')
        .update('t', 'u', 'x', { expectedVersion: 1, status: 'paused' })
        .catch((error: unknown) => error),
      away.pool.query('SELECT 1').catch((error: unknown) => error),
    ]);
    for (const error of errors) expect(isUnavailable(error), String(error)).toBe(true);
  } finally {
    await away.close();
  }
  const wrong = await database.pool.query('SELECT nothing').catch((error: unknown) => error);
  expect(isUnavailable(wrong)).toBe(false);
  const wrongPrisma = await database.prisma.$queryRaw`SELECT nothing`.catch((error: unknown) => error);
  expect(isUnavailable(wrongPrisma)).toBe(false);
});

test('a connection that the server ends is unavailable', async () => {
  const other = openDatabase(place.url, { name: 'ended', max: 1, onError: () => undefined });
  try {
    const pending = other.prisma.$queryRaw`SELECT pg_sleep(30)::text`.catch((error: unknown) => error);
    await expect
      .poll(async () => {
        const { rowCount } = await database.pool.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ended' AND state = 'active'",
        );
        return rowCount;
      })
      .toBe(1);
    expect(isUnavailable(await pending)).toBe(true);
  } finally {
    await other.close();
  }
});
