/** Ids of more than 255 characters are wrong requests everywhere: in each path, query, header and body of the document. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { operationsOf } from '../../../src/compose/features.ts';
import { type Door, openDoor } from '../../support/http-app.ts';

const API_OPERATIONS = await operationsOf();

const TOO_LONG = 'x'.repeat(256);
const LONGEST = 'x'.repeat(255);
/** Ids that are put together of others: a task of an item is `fetch[12]`, a dead letter `execution/task`. */
const COMPOSED: Readonly<Record<string, number>> = { action_id: 266, event_id: 522 };

interface Schema {
  $ref?: string;
  type?: string | string[];
  maxLength?: number;
  pattern?: string;
  format?: string;
  enum?: unknown[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
  properties?: Record<string, Schema>;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}
interface Described {
  parameters?: { in: string; name: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, unknown>;
}
interface Document {
  paths: Record<string, Record<string, Described>>;
}

let door: Door;
let document: Document;
beforeAll(async () => {
  door = await openDoor();
  document = (await (await door.fetch('/openapi.json')).json()) as Document;
});
afterAll(() => door.close());

const described = () =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
const isId = (name: string) => /(?:^|_)ids?$|_key$/.test(name);

/** How long the document lets a parameter be. */
function lengthOf(where: string, name: string, { maxLength = Number.POSITIVE_INFINITY }: Schema): number {
  expect(maxLength, `${where} ${name}`).toBeLessThanOrEqual(COMPOSED[name] ?? 255);
  return maxLength;
}

async function expectRefused(answer: Response, field: string, where: string): Promise<void> {
  const body = (await answer.json()) as { errors?: { path: string }[] };
  expect([answer.status, body.errors?.map(({ path }) => path)], where).toEqual([400, [field]]);
}

test('in a path', async () => {
  // Links carry a signed token, and are pages.
  const inPaths = API_OPERATIONS.filter(({ path }) => path.includes('{') && !path.includes('{token}'));
  expect(inPaths.length).toBeGreaterThan(50);
  for (const { id, method, path } of inPaths) {
    for (const [, name = ''] of path.matchAll(/\{(\w+)\}/g)) {
      const to = (value: string) =>
        door.fetch(path.replace(`{${name}}`, value).replaceAll(/\{\w+\}/g, 'x'), {
          method: method.toUpperCase(),
          headers: { accept: 'application/json' },
        });
      const { parameters = [] } = document.paths[path]?.[method] ?? {};
      const schema = parameters.find((one) => one.in === 'path' && one.name === name)?.schema ?? {};
      const longest = lengthOf(id, name, schema);
      await expectRefused(await to('x'.repeat(longest + 1)), name, `${id} ${name}`);
      await expectRefused(await to('%00'), name, `${id} ${name}`);
      const answer = await to('x'.repeat(longest));
      const { errors = [] } = (await answer.json().catch(() => ({}))) as { errors?: { path: string }[] };
      expect(
        errors.map((fault) => fault.path),
        `${id} ${name}`,
      ).not.toContain(name);
    }
  }
});

test('in a query', async () => {
  let seen = 0;
  for (const { method, path, operation } of described()) {
    for (const { name, schema } of (operation.parameters ?? []).filter((one) => one.in === 'query' && isId(one.name))) {
      seen += 1;
      const tooLong = 'x'.repeat(lengthOf(path, name, schema) + 1);
      const answer = await door.fetch(`${path.replaceAll(/\{\w+\}/g, 'x')}?${name}=${tooLong}`, { method });
      const body = (await answer.json()) as { errors?: { path: string }[] };
      expect(answer.status, `${method} ${path} ${name}`).toBe(400);
      expect(
        body.errors?.map((fault) => fault.path),
        `${method} ${path} ${name}`,
      ).toContain(name);
    }
  }
  expect(seen).toBeGreaterThan(3);
});

test('in a header', async () => {
  const headers = ['Idempotency-Key', 'X-Correlation-ID', 'X-Request-Id', 'X-Tenant-ID', 'X-User-ID'];
  for (const header of headers) {
    const body = JSON.stringify({ task_type: 'test_task' });
    const sent = { 'content-type': 'application/json', [header]: TOO_LONG };
    await expectRefused(await door.fetch('/assign-task', { method: 'POST', body, headers: sent }), header, header);
  }
  expect((await door.fetch('/result/x', { headers: { 'X-Correlation-ID': LONGEST } })).status).toBe(404);
});

test('in a body: every field of the document that is an id says how long it may be', () => {
  const found: string[] = [];
  let seen = 0;
  const resolve = (schema: Schema): Schema =>
    schema.$ref === undefined
      ? schema
      : resolve(
          schema.$ref
            .slice(2)
            .split('/')
            .reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], document) as Schema,
        );
  const walk = (given: Schema, at: string, above: ReadonlySet<Schema>): void => {
    const schema = resolve(given);
    if (above.has(schema)) return;
    const here = new Set([...above, schema]);
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      // Templates that give a key are longer than it.
      const isTemplate = name === 'correlation_key';
      if (isId(name) && !isTemplate) {
        for (const one of [property, ...(resolve(property).anyOf ?? [])].map(resolve)) {
          const text = one.type === 'array' ? resolve(one.items ?? {}) : one;
          if (text.type !== 'string') continue;
          seen += 1;
          const isBound = (text.maxLength ?? Number.POSITIVE_INFINITY) <= 255 || text.pattern !== undefined;
          if (!isBound) found.push(`${at}.${name}`);
        }
      }
      walk(property, `${at}.${name}`, here);
    }
    for (const below of [schema.items, schema.additionalProperties, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])])
      if (typeof below === 'object') walk(below, `${at}[]`, here);
  };
  for (const { method, path, operation } of described()) {
    const body = operation.requestBody?.content['application/json']?.schema;
    if (body !== undefined) walk(body, `${method} ${path}`, new Set());
  }
  expect(seen).toBeGreaterThan(20);
  expect(found).toEqual([]);
});

test('a config that is null is a wrong request that names the action', async () => {
  const action = { action_id: 'a', action_type: 'test_task' };
  const create = (actions: object[]) => door.post('/workflows', { name: 'x', actions });
  await expectRefused(
    await create([action, { ...action, action_id: 'b', config: null }]),
    'actions.1.config',
    'action',
  );
  const undone = { ...action, compensate: { action_type: 'test_task', config: null } };
  await expectRefused(await create([undone]), 'actions.0.compensate.config', 'compensation');
  expect((await create([{ ...action, config: {} }])).status).toBe(201);
  expect((await create([action])).status).toBe(201);
});
