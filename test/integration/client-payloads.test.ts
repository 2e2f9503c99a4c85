/** What the Prisma client reads of payloads is what our own statements read, sealed or not. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UnreadablePayload } from '../../src/domain/errors.ts';
import { createKeyring } from '../../src/engine/keyring.ts';
import { createTenantScope } from '../../src/engine/tenant-scope.ts';
import { createDocumentStore } from '../../src/features/platform/document-store.ts';
import type { JsonObject } from '../../src/schemas/json.ts';
import { type Database, openDatabase } from '../../src/store/core/database.ts';
import { Prisma } from '../../src/store/generated/client.ts';
import { PAYLOAD_FIELDS } from '../../src/store/payloads/payload-extension.ts';
import { createPayloads, errorPayload } from '../../src/store/payloads/payloads.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');
const scope = createTenantScope();
let place: TestDatabase;
const opened: Database[] = [];

function database(keys: string[], seals: boolean, tenant: () => string | undefined = () => undefined): Database {
  const made = openDatabase(place.url, {
    name: 'test',
    max: 2,
    onError: () => undefined,
    rowLevelSecurity: { tenant, isEnforced: async () => true },
    payloads: createPayloads(createKeyring(keys), seals, Date.now),
  });
  opened.push(made);
  return made;
}

beforeAll(async () => {
  place = await createTestDatabase();
});
afterAll(async () => {
  for (const each of opened) await each.close();
  await place.drop();
});

const CONTENTS = ['plain', '', '{"$enc":"mine"}', '{"$enc":', 'ö\u2028', '{"$type":"Json"}'];
const METADATA: Array<JsonObject | undefined> = [
  undefined,
  {},
  { a: [1, null, 'x'] },
  { $enc: 'mine' },
  { $enc: [1] },
  { $type: 'BigInt', value: '1' },
];

test.each([
  ['sealed', true],
  ['plain', false],
])('a document that is kept %s is read as it was written', async (tenantId, seals) => {
  const db = database([KEY], seals);
  const documents = createDocumentStore(db);
  for (const [index, content] of CONTENTS.entries()) {
    const metadata = METADATA[index];
    const saved = await documents.save(tenantId, { id: `${index}`, content, contentHash: 'h', metadata, runId: 'r' });
    const found = await documents.find(tenantId, `${index}`);
    expect(found).toEqual({ ...saved, content, metadata: metadata ?? null, updatedAt: expect.any(Date) });
    const { rows } = await db.pool.query<{ lies: boolean }>(
      `SELECT content LIKE '{"$enc":"enc:%' AS lies FROM document WHERE tenant_id = $1 AND id = $2`,
      [tenantId, `${index}`],
    );
    expect(rows).toEqual([{ lies: seals }]);
  }
  expect(await documents.find('somebody else', '0')).toBeUndefined();
});

test('what another tenant has sealed is not opened, for a tenant and for whoever reads for several', async () => {
  const db = database([KEY], true);
  await createDocumentStore(db).save('a', {
    ...{ id: 'd', content: 'secret', contentHash: 'h', metadata: undefined, runId: 'r' },
  });
  await db.pool.query(`UPDATE document SET tenant_id = 'b' WHERE tenant_id = 'a'`);
  await expect(createDocumentStore(db).find('b', 'd')).rejects.toThrow(UnreadablePayload);
  const served = database([KEY], true, scope.tenant);
  await expect(scope.in({ tenantId: 'b' }, () => createDocumentStore(served).find('b', 'd'))).rejects.toThrow(
    UnreadablePayload,
  );
  const keyless = database([], false);
  const missing = await createDocumentStore(keyless)
    .find('b', 'd')
    .catch((error: unknown) => error);
  expect(missing).toMatchObject({ code: 'payload_key_missing' });
});

test('errors and lists of rows are opened, and fields that are not asked for are left alone', async () => {
  const db = database([KEY], true);
  const insert = `INSERT INTO run (id, tenant_id, parameters, user_id, error) VALUES ($1, 'lists', '{}', 'u', $2)`;
  const error = { code: 'http_404', message: 'Not found' };
  await db.pool.query(insert, ['one', errorPayload(JSON.stringify(error), 'lists')]);
  await db.pool.query(insert, ['two', null]);
  const where = { tenantId: 'lists' };
  expect(await db.prisma.run.findMany({ where, select: { error: true }, orderBy: { id: 'asc' } })).toEqual([
    { error },
    { error: null },
  ]);
  expect(await db.prisma.run.findMany({ where, select: { id: true }, orderBy: { id: 'asc' } })).toEqual([
    { id: 'one' },
    { id: 'two' },
  ]);
  expect(await db.prisma.run.count({ where })).toBe(2);
});

test('the client writes no payload, which it would leave unsealed', async () => {
  const { prisma } = database([KEY], true);
  const where = { tenantId: 'nobody' };
  await expect(prisma.run.updateMany({ where, data: { output: { x: 1 } } })).rejects.toThrow('Run.output');
  const group = { tenantId: 't', fingerprint: 'f', code: 'c', template: 't', message: 'm' };
  const more = { actionType: 'x', actionId: 'a', failedAttempts: 1, failedTasks: 1, runs: 1 };
  const times = { firstSeen: new Date(), lastSeen: new Date() };
  await expect(prisma.errorGroup.createMany({ data: [{ ...group, ...more, ...times }] })).rejects.toThrow('ErrorGroup');
  expect(await prisma.run.updateMany({ where, data: { cancelReason: 'x' } })).toEqual({ count: 0 });
});

test('every column of payloads is a field of the client', () => {
  const models: readonly string[] = Object.values(Prisma.ModelName);
  for (const [model, { json, text }] of PAYLOAD_FIELDS) {
    expect(models).toContain(model);
    const scalars = Reflect.get(Prisma, `${model}ScalarFieldEnum`) as Record<string, string>;
    expect(Object.keys(scalars)).toEqual(expect.arrayContaining([...json, ...text]));
  }
});
