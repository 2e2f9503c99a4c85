import { describe, expect, test } from 'vitest';
import type { CallInputs } from '../../../../src/domain/service-operation.ts';
import { schemaFaults } from '../../../../src/expressions/json-schema.ts';
import { checkableSchema } from '../../../../src/features/service-apis/checkable-schema.ts';
import { readDocument } from '../../../../src/features/service-apis/openapi-document.ts';
import { callable, type PreparedCall, prepareCall } from '../../../../src/features/service-apis/operation-call.ts';
import type { Json, JsonObject } from '../../../../src/schemas/json.ts';
import { checks } from '../../../support/checks.ts';

function prepare(
  path: string,
  operation: JsonObject,
  parameters?: Json,
  beside: Partial<CallInputs> = {},
): PreparedCall {
  const method = operation['requestBody'] === undefined ? 'get' : 'put';
  const { operations, resolve } = readDocument({ openapi: '3.0.3', paths: { [path]: { [method]: operation } } });
  const [read] = operations;
  if (read === undefined) throw new Error('there is no operation');
  return prepareCall(
    callable(read, resolve, checks),
    { parameters, query: undefined, headers: {}, ...beside },
    checks.valueFaults,
  );
}

function faults(prepared: PreparedCall): string[] {
  return prepared.ok ? [] : prepared.faults.map(({ path, message }) => `${path}: ${message}`);
}

const parameter = (name: string, where: string, schema: Json, required = false): JsonObject => ({
  name,
  in: where,
  schema,
  required,
});
const json = (schema: Json, required = true): JsonObject => ({
  requestBody: { required, content: { 'application/json': { schema } } },
});
const document: Json = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    title: { type: 'string', minLength: 1 },
    tags: { type: 'array', items: { type: 'string' } },
  },
  required: ['title'],
};

describe('inputs go where the document says', () => {
  test('path, query, headers, cookies and the rest as the body', () => {
    const operation = {
      parameters: [
        parameter('id', 'path', { type: 'string' }, true),
        parameter('dry', 'query', { type: 'boolean' }),
        parameter('tag', 'query', { type: 'array', items: { type: 'string' } }),
        parameter('X-Trace', 'header', { type: 'string' }),
        parameter('session', 'cookie', { type: 'string' }),
        parameter('theme', 'cookie', { type: 'string' }),
      ],
      ...json({ type: 'object', properties: { title: { type: 'string' } } }),
    };
    const given = {
      id: 'a/b c',
      dry: true,
      tag: ['x', 'y'],
      'X-Trace': 'z',
      session: 's;1',
      theme: 'dark',
      title: 'T',
      more: 1,
    };
    expect(prepare('/documents/{id}', operation, given)).toEqual({
      ok: true,
      call: {
        method: 'PUT',
        path: '/documents/a%2Fb%20c',
        query: { dry: true, tag: ['x', 'y'] },
        headers: { 'x-trace': 'z', cookie: 'session=s%3B1; theme=dark' },
        body: { mediaType: 'application/json', text: '{"title":"T","more":1}' },
      },
    });
  });

  test('a name of both goes to both', () => {
    const operation = { parameters: [parameter('id', 'path', {}, true)], ...json(document) };
    expect(prepare('/documents/{id}', operation, { id: '7', title: 'T' })).toMatchObject({
      call: { path: '/documents/7', body: { text: '{"id":"7","title":"T"}' } },
    });
  });

  test('the entire body, when it is called so or is no object', () => {
    const list = json({ type: 'array', items: { type: 'integer' } });
    expect(prepare('/x', list, [1, 2])).toMatchObject({ ok: true, call: { body: { text: '[1,2]' } } });
    expect(prepare('/x', list, { body: [1, 2] })).toMatchObject({ ok: true, call: { body: { text: '[1,2]' } } });
    const own = json({ type: 'object', properties: { body: { type: 'string' } } });
    expect(prepare('/x', own, { body: 'b' })).toMatchObject({ ok: true, call: { body: { text: '{"body":"b"}' } } });
  });

  test('no body, when none is set and none is required', () => {
    expect(prepare('/x', json(document, false))).toMatchObject({ ok: true, call: { body: undefined } });
    expect(faults(prepare('/x', json(document)))).toEqual(['parameters.title: is required']);
  });

  test('forms and texts, JSON before both, and what cannot be sent is said', () => {
    const content = (types: string[]): JsonObject => ({
      requestBody: { content: Object.fromEntries(types.map((type) => [type, { schema: {} }])) },
    });
    const form = 'application/x-www-form-urlencoded';
    expect(prepare('/x', content([form]), { a: 'ä&', b: [1, 2] })).toMatchObject({
      call: { body: { mediaType: form, text: 'a=%C3%A4%26&b=1&b=2' } },
    });
    expect(prepare('/x', content(['text/plain']), 'hello')).toMatchObject({
      call: { body: { mediaType: 'text/plain', text: 'hello' } },
    });
    expect(prepare('/x', content([form, 'application/merge-patch+json', 'text/plain']), { a: 1 })).toMatchObject({
      call: { body: { mediaType: 'application/merge-patch+json', text: '{"a":1}' } },
    });
    expect(faults(prepare('/x', content(['multipart/form-data']), { a: 1 }))).toEqual([
      'parameters: cannot be sent as multipart/form-data',
    ]);
  });

  test('null leaves a parameter out, and query and headers of the action count', () => {
    const operation = {
      parameters: [
        parameter('q', 'query', { type: 'string' }, true),
        parameter('X-Key', 'header', {}, true),
        parameter('n', 'query', { type: 'integer' }),
      ],
    };
    expect(prepare('/x', operation, { n: null }, { query: { q: 'a' }, headers: { 'x-key': 'k' } })).toMatchObject({
      ok: true,
      call: { query: {}, headers: {} },
    });
    expect(faults(prepare('/x', operation, { q: null }))).toEqual([
      'parameters.q: is required',
      'parameters.X-Key: is required',
    ]);
  });
});

describe('what does not fit names its field', () => {
  const find = {
    parameters: [
      parameter('id', 'path', { type: 'integer', minimum: 1 }, true),
      parameter('sort', 'query', { type: 'string', enum: ['asc', 'desc'] }),
      parameter('page', 'query', { type: 'integer' }),
      parameter('on', 'query', { type: 'boolean' }),
    ],
  };
  test.each<[string, Json | undefined, string[]]>([
    ['nothing', undefined, ['parameters.id: is required']],
    [
      'a value that is not allowed',
      { id: 1, sort: 'up' },
      ['parameters.sort: must be equal to one of the allowed values: "asc", "desc"'],
    ],
    ['a number that is too small', { id: 0 }, ['parameters.id: must be >= 1']],
    ['a text that is no number', { id: 'abc' }, ['parameters.id: must be integer']],
    [
      'an unknown name',
      { id: 1, pge: 2 },
      ['parameters.pge: GET /documents/{id} takes no such parameter; it takes id, sort, page, on'],
    ],
    [
      'an object in the path',
      { id: { a: 1 } },
      ['parameters.id: must be integer', 'parameters.id: must be a single value in a path'],
    ],
    [
      'no object',
      [1],
      ['parameters.id: is required', 'parameters: must be an object: GET /documents/{id} takes no body'],
    ],
  ])('%s', (_what, given, expected) => {
    expect(faults(prepare('/documents/{id}', find, given))).toEqual(expected);
  });

  test('texts that say numbers and truths are good, as numbers are for a string', () => {
    expect(prepare('/documents/{id}', find, { id: '7', page: '2', on: 'true', sort: 'asc' })).toMatchObject({
      ok: true,
      call: { path: '/documents/7' },
    });
    expect(
      prepare(
        '/t/{t}',
        { parameters: [parameter('t', 'path', { type: 'string', pattern: '^\\d+$' }, true)] },
        { t: 7 },
      ),
    ).toMatchObject({ ok: true, call: { path: '/t/7' } });
  });

  test.each(['.', '..', '', null])('%j would lead to another path', (value) => {
    const operation = { parameters: [parameter('id', 'path', {}, true)] };
    expect(faults(prepare('/documents/{id}', operation, { id: value }))).toEqual([
      `parameters.id: cannot be ${JSON.stringify(value)} in a path`,
    ]);
  });

  test('a value that looks like a template of the path, or like a replacement pattern, is only a value', () => {
    const operation = { parameters: [parameter('a', 'path', {}, true), parameter('b', 'path', {}, true)] };
    expect(prepare('/{a}/{b}', operation, { a: '{b}', b: '$&' })).toMatchObject({ call: { path: '/%7Bb%7D/%24%26' } });
  });

  test('in the body, with its path', () => {
    expect(faults(prepare('/x', json(document), { title: '', tags: [1] }))).toEqual([
      'parameters.title: must NOT have fewer than 1 characters',
      'parameters.tags.0: must be string',
    ]);
    expect(faults(prepare('/x', json({ ...document, additionalProperties: false }), { title: 'T', more: 1 }))).toEqual([
      'parameters.more: must NOT have additional properties',
    ]);
  });
});

describe('a schema to check by', () => {
  const of = (schema: Json, schemas: JsonObject = {}): Json =>
    checkableSchema(schema, readDocument({ openapi: '3.0.0', components: { schemas } }).resolve, checks);

  test.each<[string, Json, Json]>([
    ['null as 3.0 says it', { type: 'string', nullable: true }, { type: ['string', 'null'] }],
    [
      'null beside a reference',
      { nullable: true, allOf: [{ type: 'object' }] },
      { anyOf: [{ type: 'null' }, { allOf: [{ type: 'object' }] }] },
    ],
    ['exclusive limits as 3.0 says them', { minimum: 1, exclusiveMinimum: true }, { exclusiveMinimum: 1 }],
    ['exclusive limits as 3.1 says them', { exclusiveMaximum: 5 }, { exclusiveMaximum: 5 }],
    [
      'words for people, and of other makers',
      { type: 'integer', description: 'd', example: 1, 'x-a': 1, format: 'int32', xml: {} },
      { type: 'integer' },
    ],
    ['a pattern that is not linear', { type: 'string', pattern: '(a)\\1' }, { type: 'string' }],
    ['an older way to say required', { type: 'object', required: true }, { type: 'object' }],
    ['a type that there is not', { type: 'file' }, {}],
    ['values twice', { enum: ['a', 'a'] }, { enum: ['a'] }],
    ['no values', { enum: [] }, {}],
    [
      'what only the service fills in',
      { required: ['id', 'a'], properties: { id: { readOnly: true }, a: {} } },
      { properties: { id: {}, a: {} }, required: ['a'] },
    ],
    ['a reference to nowhere', { $ref: '#/components/schemas/None' }, true],
    ['no schema', 7, true],
  ])('%s', (_what, written, expected) => {
    expect(of(written)).toEqual(expected);
  });

  test('ends where it contains itself, and where it becomes large', () => {
    const node = {
      type: 'object',
      properties: { next: { $ref: '#/components/schemas/Node' }, value: { type: 'string' } },
    };
    const schema = of({ $ref: '#/components/schemas/Node' }, { Node: node });
    expect(schema).toEqual({ type: 'object', properties: { next: true, value: { type: 'string' } } });
    const level = (n: number): [string, Json] => [
      `L${n}`,
      { allOf: [{ $ref: `#/components/schemas/L${n + 1}` }, { $ref: `#/components/schemas/L${n + 1}` }] },
    ];
    const doubling = Object.fromEntries(Array.from({ length: 30 }, (_, n) => level(n)));
    const large = of({ $ref: '#/components/schemas/L0' }, { ...doubling, L30: { type: 'string' } });
    expect(schemaFaults(large)).toEqual([]);
    expect(JSON.stringify(large).length).toBeLessThan(10_000);
  });

  test('can always be checked by', () => {
    const odd: Json[] = [
      { type: ['string', 'file'] },
      { minLength: -1 },
      { multipleOf: 0 },
      { properties: { a: 1 } },
      { items: [{}] },
      { allOf: [] },
      { additionalProperties: 'no' },
      { uniqueItems: 'yes' },
    ];
    for (const schema of odd) expect(schemaFaults(of(schema))).toEqual([]);
  });
});
