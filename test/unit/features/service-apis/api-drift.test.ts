import { describe, expect, test } from 'vitest';
import { type ApiDrift, driftOf, NO_DRIFT } from '../../../../src/features/service-apis/api-drift.ts';
import { documentFault, MAX_OPERATIONS, readDocument } from '../../../../src/features/service-apis/openapi-document.ts';
import type { Json, JsonObject } from '../../../../src/schemas/json.ts';

function documentOf(paths: JsonObject, rest: JsonObject = {}): JsonObject {
  return { openapi: '3.1.0', info: { title: 'documents', version: '1' }, paths, ...rest };
}

function drift(before: JsonObject, after: JsonObject): ApiDrift {
  return driftOf(readDocument(before), readDocument(after));
}

/** The changes of the one operation there is, each as `where: message`, with `!` before those that break. */
function changes(before: JsonObject, after: JsonObject): string[] {
  const found = drift(documentOf({ '/x': before }), documentOf({ '/x': after }));
  expect([found.added, found.removed]).toEqual([[], []]);
  const told = found.changed.flatMap((one) => one.changes);
  expect(found.breaking).toBe(told.some(({ breaking }) => breaking));
  return told.map(({ where, breaking, message }) => `${breaking ? '!' : ''}${where}: ${message}`);
}

const ok = { 200: { description: 'ok' } };
const get = (rest: JsonObject): JsonObject => ({ get: { responses: ok, ...rest } });
const query = (schema: Json, rest: JsonObject = {}): JsonObject =>
  get({ parameters: [{ name: 'q', in: 'query', schema, ...rest }] });
const sent = (schema: Json, rest: JsonObject = {}): JsonObject => ({
  post: { requestBody: { content: { 'application/json': { schema } }, ...rest }, responses: ok },
});
const answered = (schema: Json): JsonObject =>
  get({ responses: { 200: { description: 'ok', content: { 'application/json': { schema } } } } });

describe('operations', () => {
  test('that came and went are named by their method and path, in order', () => {
    const before = documentOf({ '/b': get({}), '/a': { ...get({}), delete: { responses: ok } } });
    const after = documentOf({ '/b': get({}), '/c': { post: { responses: ok }, get: { responses: ok } } });
    expect(drift(before, after)).toEqual({
      added: ['GET /c', 'POST /c'],
      removed: ['DELETE /a', 'GET /a'],
      changed: [],
      breaking: true,
    });
  });

  test('that only came break nobody', () => {
    expect(drift(documentOf({}), documentOf({ '/a': get({}) }))).toEqual({
      added: ['GET /a'],
      removed: [],
      changed: [],
      breaking: false,
    });
  });

  test('are changed by another position in the path only as another operation', () => {
    expect(drift(documentOf({ '/a/{id}': get({}) }), documentOf({ '/a/{key}': get({}) })).added).toEqual([
      'GET /a/{key}',
    ]);
  });

  test('with other words are the same', () => {
    expect(changes(get({ summary: 'One', description: 'a' }), get({ summary: 'Two', tags: ['x'] }))).toEqual([]);
  });

  test.each<[string, JsonObject, JsonObject, string[]]>([
    ['another id', { operationId: 'a' }, { operationId: 'b' }, ['!operation: operationId was a and is b']],
    ['a first id', {}, { operationId: 'b' }, []],
    ['deprecation', {}, { deprecated: true }, ['operation: is deprecated now']],
    ['new credentials', {}, { security: [{ key: [] }] }, ['!operation: asks for credentials now']],
    ['optional credentials', {}, { security: [{ key: [] }, {}] }, []],
    ['no credentials any more', { security: [{ key: [] }] }, {}, ['operation: asks for no credentials any more']],
    ['a new answer', {}, { responses: { ...ok, 404: { description: 'no' } } }, ['response.404: is new']],
    [
      'an answer less',
      { responses: { ...ok, 404: { description: 'no' } } },
      {},
      ['!response.404: is not there any more'],
    ],
  ])('%s', (_what, before, after, expected) => {
    expect(changes(get(before), get(after))).toEqual(expected);
  });
});

describe('parameters', () => {
  const none = get({});
  test.each<[string, JsonObject, JsonObject, string[]]>([
    ['a new one', none, query({}), ['query.q: is new']],
    ['a new one that is required', none, query({}, { required: true }), ['!query.q: is new and required']],
    ['one less', query({}), none, ['!query.q: is not there any more']],
    ['required now', query({}), query({}, { required: true }), ['!query.q: is required now']],
    ['optional now', query({}, { required: true }), query({}), ['query.q: is optional now']],
    [
      'moved to a header',
      query({}),
      get({ parameters: [{ name: 'q', in: 'header', schema: {} }] }),
      ['!query.q: is not there any more', 'header.q: is new'],
    ],
    ['another type', query({ type: 'string' }), query({ type: 'integer' }), ['!query.q: was string and is integer']],
    ['a wider type', query({ type: 'integer' }), query({ type: 'number' }), ['query.q: was integer and is number']],
    ['a narrower type', query({ type: 'number' }), query({ type: 'integer' }), ['!query.q: was number and is integer']],
    ['any type', query({ type: 'string' }), query({}), ['query.q: was string and is anything']],
    ['a value more', query({ enum: ['a'] }), query({ enum: ['a', 'b'] }), ['query.q: may be "b" now']],
    ['a value less', query({ enum: ['a', 'b'] }), query({ enum: ['a'] }), ['!query.q: is never "b" any more']],
    ['values in another order', query({ enum: ['a', 'b'] }), query({ enum: ['b', 'a'] }), []],
    [
      'values at all',
      query({ type: 'string' }),
      query({ type: 'string', enum: ['a'] }),
      ['!query.q: takes only "a" now'],
    ],
    ['a lower maximum', query({ maximum: 10 }), query({ maximum: 5 }), ['!query.q: maximum was 10 and is 5']],
    ['a higher maximum', query({ maximum: 5 }), query({ maximum: 10 }), ['query.q: maximum was 5 and is 10']],
    ['a first minimum', query({}), query({ minimum: 1 }), ['!query.q: minimum was not said and is 1']],
    ['no minimum any more', query({ minimum: 1 }), query({}), ['query.q: minimum was 1 and is not said']],
    [
      'an exclusive minimum of 3.0',
      query({ minimum: 1, exclusiveMinimum: false }),
      query({ minimum: 1, exclusiveMinimum: true }),
      ['!query.q: exclusiveMinimum was false and is true'],
    ],
    ['a pattern', query({}), query({ pattern: '^a' }), ['!query.q: pattern was not said and is "^a"']],
    ['no format any more', query({ format: 'uuid' }), query({}), ['query.q: format was "uuid" and is not said']],
    [
      'null allowed in 3.0',
      query({ type: 'string' }),
      query({ type: 'string', nullable: true }),
      ['query.q: was string and is null or string'],
    ],
  ])('%s', (_what, before, after, expected) => {
    expect(changes(before, after)).toEqual(expected);
  });

  test('of the path hold for each of its operations, unless it has its own', () => {
    const item = (own: Json[]): JsonObject => ({
      parameters: [{ name: 'q', in: 'query', schema: { type: 'string' } }],
      get: { responses: ok, parameters: own },
    });
    expect(changes(item([]), query({ type: 'string' }))).toEqual([]);
    expect(changes(item([]), item([{ name: 'q', in: 'query', schema: { type: 'integer' } }]))).toEqual([
      '!query.q: was string and is integer',
    ]);
  });

  test('in the path are there even when nobody describes them', () => {
    const before = documentOf({ '/a/{id}': get({}) });
    const after = documentOf({
      '/a/{id}': get({ parameters: [{ name: 'id', in: 'path', required: true, schema: {} }] }),
    });
    expect(drift(before, after).changed).toEqual([]);
  });
});

describe('bodies', () => {
  const a = { type: 'object', properties: { a: { type: 'string' } } };
  test.each<[string, JsonObject, JsonObject, string[]]>([
    ['a new field', sent(a), sent({ ...a, properties: { ...a.properties, b: {} } }), ['body.b: is new']],
    [
      'a new field that is required',
      sent(a),
      sent({ ...a, properties: { ...a.properties, b: {} }, required: ['b'] }),
      ['!body.b: is new and required'],
    ],
    ['a field less', sent(a), sent({ type: 'object' }), ['!body.a: is not there any more']],
    ['a field required now', sent(a), sent({ ...a, required: ['a'] }), ['!body.a: is required now']],
    ['a field optional now', sent({ ...a, required: ['a'] }), sent(a), ['body.a: may be missing now']],
    [
      'a field of another type',
      sent(a),
      sent({ type: 'object', properties: { a: { type: 'integer' } } }),
      ['!body.a: was string and is integer'],
    ],
    [
      'a field that nobody described is required',
      sent(a),
      sent({ ...a, required: ['z'] }),
      ['!body.z: is required now'],
    ],
    [
      'no other fields any more',
      sent(a),
      sent({ ...a, additionalProperties: false }),
      ['!body: takes no other fields now'],
    ],
    [
      'items',
      sent({ type: 'array', items: { type: 'string' } }),
      sent({ type: 'array', items: { type: 'integer' } }),
      ['!body.[]: was string and is integer'],
    ],
    [
      'fields without names',
      sent({ additionalProperties: { type: 'string' } }),
      sent({ additionalProperties: { type: 'integer' } }),
      ['!body.*: was string and is integer'],
    ],
    [
      'a choice less',
      sent({ oneOf: [{ type: 'string' }, { type: 'integer' }] }),
      sent({ oneOf: [{ type: 'string' }] }),
      ['!body: oneOf lost 1 and won 0 of its choices'],
    ],
    [
      'a choice more',
      sent({ oneOf: [{ type: 'string' }] }),
      sent({ oneOf: [{ type: 'string' }, { type: 'integer' }] }),
      ['body: oneOf lost 0 and won 1 of its choices'],
    ],
    [
      'a choice in other words',
      sent({ oneOf: [{ type: 'string' }, a] }),
      sent({
        oneOf: [
          { ...a, description: 'An object', example: { a: 'x' } },
          { type: 'string', title: 'Text' },
        ],
      }),
      [],
    ],
    [
      'a field that is called as an annotation is',
      sent({ oneOf: [{ type: 'object', properties: { description: { type: 'string' } } }] }),
      sent({ oneOf: [{ type: 'object', properties: { description: { type: 'integer' } } }] }),
      ['!body.description: was string and is integer'],
    ],
    [
      'a field required in a choice',
      sent({ anyOf: [a, { type: 'null' }] }),
      sent({ anyOf: [{ ...a, required: ['a'] }, { type: 'null' }] }),
      ['!body.a: is required now'],
    ],
    ['required now', sent(a), sent(a, { required: true }), ['!body: is required now']],
    [
      'another media type',
      sent(a),
      { post: { requestBody: { content: { 'text/csv': {} } }, responses: ok } },
      ['!body: application/json is not there any more', 'body: text/csv is new'],
    ],
    ['a body at all', { post: { responses: ok } }, sent(a), ['body: is new']],
    ['no body any more', sent(a), { post: { responses: ok } }, ['!body: is not there any more']],
  ])('%s', (_what, before, after, expected) => {
    expect(changes(before, after)).toEqual(expected);
  });
});

test('a choice that is a reference has changed when its target has', () => {
  const choice = answered({ anyOf: [{ $ref: '#/components/schemas/A' }, { type: 'null' }] });
  const withTarget = (schema: JsonObject) => documentOf({ '/x': choice }, { components: { schemas: { A: schema } } });
  const [changed] = drift(
    withTarget({ type: 'object', properties: { a: {} } }),
    withTarget({ type: 'object', properties: {} }),
  ).changed;
  expect(changed?.changes).toEqual([{ where: 'response.200.a', breaking: true, message: 'is not there any more' }]);
});

describe('answers', () => {
  const a = { type: 'object', properties: { a: { type: 'string' } } };
  test.each<[string, JsonObject, JsonObject, string[]]>([
    [
      'a new field',
      answered(a),
      answered({ ...a, properties: { ...a.properties, b: {} }, required: ['b'] }),
      ['response.200.b: is new'],
    ],
    ['a field less', answered(a), answered({ type: 'object' }), ['!response.200.a: is not there any more']],
    [
      'a new field of what may be null',
      answered({ anyOf: [a, { type: 'null' }] }),
      answered({ anyOf: [{ ...a, properties: { ...a.properties, b: {} } }, { type: 'null' }] }),
      ['response.200.b: is new'],
    ],
    [
      'a field that may be missing',
      answered({ ...a, required: ['a'] }),
      answered(a),
      ['!response.200.a: may be missing now'],
    ],
    [
      'a field that is always there',
      answered(a),
      answered({ ...a, required: ['a'] }),
      ['response.200.a: is required now'],
    ],
    [
      'a wider type',
      answered({ type: 'integer' }),
      answered({ type: ['integer', 'null'] }),
      ['!response.200: was integer and is integer or null'],
    ],
    [
      'a narrower type',
      answered({ type: ['integer', 'null'] }),
      answered({ type: 'integer' }),
      ['response.200: was integer or null and is integer'],
    ],
    ['a value more', answered({ enum: ['a'] }), answered({ enum: ['a', 'b'] }), ['response.200: may be "b" now']],
    [
      'a value less',
      answered({ enum: ['a', 'b'] }),
      answered({ enum: ['a'] }),
      ['response.200: is never "b" any more'],
    ],
  ])('%s', (_what, before, after, expected) => {
    expect(changes(before, after)).toEqual(expected);
  });
});

describe('references', () => {
  const of = (schemas: JsonObject): JsonObject =>
    documentOf(
      { '/x': answered({ $ref: '#/components/schemas/Node' }), '/y': sent({ $ref: '#/components/schemas/Node' }) },
      { components: { schemas } },
    );

  test('are followed, and a schema that contains itself ends', () => {
    const node = (value: JsonObject): JsonObject => ({
      Node: {
        type: 'object',
        properties: {
          value,
          next: { $ref: '#/components/schemas/Node' },
          also: { $ref: '#/components/schemas/Other' },
        },
      },
      Other: { type: 'object', properties: { back: { $ref: '#/components/schemas/Node' } } },
    });
    const found = drift(of(node({ type: 'string' })), of(node({ type: 'integer' })));
    expect(found.changed).toEqual([
      {
        operation: 'GET /x',
        breaking: true,
        changes: [{ where: 'response.200.value', breaking: true, message: 'was string and is integer' }],
      },
      {
        operation: 'POST /y',
        breaking: true,
        changes: [{ where: 'body.value', breaking: true, message: 'was string and is integer' }],
      },
    ]);
  });

  test('inside a circle are compared for each operation that enters it elsewhere', () => {
    const circle = (value: JsonObject): JsonObject =>
      documentOf(
        { '/a': answered({ $ref: '#/components/schemas/A' }), '/b': answered({ $ref: '#/components/schemas/B' }) },
        {
          components: {
            schemas: {
              A: { properties: { b: { $ref: '#/components/schemas/B' }, value } },
              B: { properties: { a: { $ref: '#/components/schemas/A' } } },
            },
          },
        },
      );
    const found = drift(circle({ type: 'string' }), circle({ type: 'integer' }));
    expect(found.changed.map(({ operation, changes: [first] }) => [operation, first?.where])).toEqual([
      ['GET /a', 'response.200.value'],
      ['GET /b', 'response.200.a.value'],
    ]);
  });

  test('of a schema that contains itself by way of allOf and items end, against itself and against any other', () => {
    const itself: JsonObject = {
      Node: { type: 'array', items: { allOf: [{ $ref: '#/components/schemas/Node' }] } },
    };
    const anything: JsonObject = { Node: true };
    expect(drift(of(itself), of(structuredClone(itself)))).toEqual(NO_DRIFT);
    const told = (before: JsonObject, after: JsonObject) =>
      drift(of(before), of(after)).changed.map(({ changes: [first] }) => first?.message);
    expect(told(itself, anything)).toEqual(['was array and is anything', 'was array and is anything']);
    expect(told(anything, itself)).toEqual(['was anything and is array', 'was anything and is array']);
  });

  test('of many schemas that all contain each other are followed once each', () => {
    const names = Array.from({ length: 40 }, (_, index) => `S${index}`);
    const properties = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/schemas/${name}` }]));
    const all = (type: string): JsonObject => ({
      ...Object.fromEntries(names.map((name) => [name, { properties }])),
      Node: { properties: { ...properties, value: { type } } },
    });
    expect(drift(of(all('string')), of(all('string')))).toEqual(NO_DRIFT);
    expect(drift(of(all('string')), of(all('integer'))).changed.map((one) => one.changes)).toEqual([
      [{ where: 'response.200.value', breaking: true, message: 'was string and is integer' }],
      [{ where: 'body.value', breaking: true, message: 'was string and is integer' }],
    ]);
  });

  test('that go on for very long are not followed to their end, which is said', () => {
    const chain = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, index) => [
        index === 0 ? 'Node' : `S${index}`,
        { items: { $ref: `#/components/schemas/S${index + 1}` } },
      ]),
    );
    const [first] = drift(of(chain), of(chain)).changed;
    expect(first?.changes.map(({ breaking, message }) => [breaking, message])).toEqual([
      [false, 'too much to compare'],
    ]);
  });

  test('written out in place are no change, nor is another name', () => {
    const inPlace = documentOf({ '/x': answered({ type: 'string' }) });
    const named = documentOf(
      { '/x': answered({ $ref: '#/components/schemas/T' }) },
      { components: { schemas: { T: { type: 'string' } } } },
    );
    expect(drift(inPlace, named).changed).toEqual([]);
    expect(drift(named, inPlace).changed).toEqual([]);
  });

  test('out of the document, to nothing and to themselves stand for anything', () => {
    for (const reference of [
      'other.json#/A',
      'https://example.com/a',
      '#/components/schemas/None',
      '#/paths/~1x',
      '#/__proto__/a',
    ]) {
      const document = documentOf({ '/x': answered({ $ref: reference }) });
      expect(drift(document, document).changed).toEqual([]);
    }
    const self = documentOf(
      { '/x': answered({ $ref: '#/components/schemas/S' }) },
      { components: { schemas: { S: { $ref: '#/components/schemas/S' } } } },
    );
    expect(drift(self, self).changed).toEqual([]);
  });

  test('in allOf are taken together', () => {
    const base = {
      components: { schemas: { Base: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] } } },
    };
    const composed = documentOf(
      { '/x': sent({ allOf: [{ $ref: '#/components/schemas/Base' }, { properties: { a: {} } }] }) },
      base,
    );
    const flat = documentOf(
      { '/x': sent({ type: 'object', properties: { id: { type: 'string' }, a: {} }, required: ['id'] }) },
      base,
    );
    expect(drift(composed, flat).changed).toEqual([]);
    expect(drift(flat, composed).changed).toEqual([]);
  });
});

test('Swagger 2.0 is read as well: parameters, a body, forms and answers', () => {
  const old = (type: string): JsonObject => ({
    swagger: '2.0',
    paths: {
      '/x': {
        post: {
          parameters: [
            { name: 'q', in: 'query', type: 'string' },
            { name: 'b', in: 'body', required: true, schema: { type: 'object', properties: { a: { type } } } },
          ],
          responses: { 200: { description: 'ok', schema: { type } } },
        },
      },
      '/form': { post: { parameters: [{ name: 'f', in: 'formData', required: true, type }], responses: ok } },
    },
  });
  const document = readDocument(old('string'));
  expect(
    document.operations.map(({ name, body }) => [name, [...(body?.content.keys() ?? [])], body?.required]),
  ).toEqual([
    ['POST /x', ['application/json'], true],
    ['POST /form', ['application/x-www-form-urlencoded'], true],
  ]);
  expect(
    drift(old('string'), old('integer')).changed.map(({ changes: found }) => found.map(({ where }) => where)),
  ).toEqual([['body.f'], ['body.a', 'response.200']]);
});

test('what is no OpenAPI document says why', () => {
  expect(documentFault([])).toBe('is not an object');
  expect(documentFault({})).toBe("has no field 'openapi' with 3.x, nor 'swagger' with 2.0");
  expect(documentFault({ openapi: '4.0.0' })).toBe("has no field 'openapi' with 3.x, nor 'swagger' with 2.0");
  expect(documentFault({ openapi: '3.0.0', paths: [] })).toBe("has no object 'paths'");
  expect(documentFault({ openapi: '3.1.0' })).toBeUndefined();
  const many = Object.fromEntries(
    Array.from({ length: MAX_OPERATIONS + 1 }, (_, index) => [`/p${index}`, { get: {} }]),
  );
  expect(documentFault(documentOf(many))).toBe(`has more than ${MAX_OPERATIONS} operations`);
});

test('what is not as it should be is left out', () => {
  const odd = documentOf({
    '/x': { get: 'no', post: { parameters: [1, { in: 'query' }, { name: 'a', in: 'nowhere' }], responses: [] } },
    x: get({}),
    '/n': null,
  });
  expect(readDocument(odd).operations.map(({ name, parameters }) => [name, parameters])).toEqual([['POST /x', []]]);
});
