import fc from 'fast-check';
import { expect, test } from 'vitest';
import { driftOf } from '../../../../src/features/service-apis/api-drift.ts';
import { readDocument } from '../../../../src/features/service-apis/openapi-document.ts';
import type { Json, JsonObject } from '../../../../src/schemas/json.ts';

const name = fc.constantFrom('a', 'b', 'c', 'd');
const schema = fc.letrec<{ schema: JsonObject }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3 },
    fc.record({ $ref: fc.constantFrom('#/components/schemas/A', '#/components/schemas/B', '#/nowhere') }),
    fc.record({ type: fc.constantFrom<Json>('string', 'integer', 'number', ['string', 'null']) }),
    fc.record({ enum: fc.uniqueArray(fc.constantFrom<Json>('x', 'y', 1, null), { minLength: 1 }) }),
    fc.record({ type: fc.constant('integer'), minimum: fc.nat(9), maximum: fc.integer({ min: 10, max: 20 }) }),
    fc.record({ type: fc.constant('array'), items: tie('schema') }),
    fc.record({
      type: fc.constant('object'),
      properties: fc.dictionary(name, tie('schema'), { maxKeys: 3 }),
      required: fc.uniqueArray(name),
      additionalProperties: fc.boolean(),
    }),
    fc.record({ oneOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
    fc.record({ allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
  ),
})).schema;

const operation = fc.record({
  operationId: name,
  parameters: fc.array(fc.record({ name, in: fc.constantFrom('query', 'header'), required: fc.boolean(), schema }), {
    maxLength: 3,
  }),
  requestBody: fc.record({ required: fc.boolean(), content: fc.record({ 'application/json': fc.record({ schema }) }) }),
  responses: fc.record({ 200: fc.record({ content: fc.record({ 'application/json': fc.record({ schema }) }) }) }),
});

const documents = fc.record({
  openapi: fc.constant('3.1.0'),
  paths: fc.dictionary(
    fc.constantFrom('/a', '/b', '/c/{id}'),
    fc.dictionary(fc.constantFrom('get', 'post', 'delete'), operation, { maxKeys: 2 }),
    { maxKeys: 3 },
  ),
  components: fc.record({ schemas: fc.record({ A: schema, B: schema }) }),
}) as fc.Arbitrary<JsonObject>; // Records of JSON.

/** The same with its keys the other way round. */
function turned(value: Json): Json {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, field]) => [key, turned(field)]),
  );
}

test('a document does not drift from itself, whatever the order of its keys', () => {
  fc.assert(
    fc.property(documents, (document) => {
      const again = turned(document) as JsonObject; // An object stays one.
      expect(driftOf(readDocument(document), readDocument(again))).toEqual({
        added: [],
        removed: [],
        changed: [],
        breaking: false,
      });
    }),
  );
});

test('what is added one way is removed the other way, and the same operations changed', () => {
  fc.assert(
    fc.property(documents, documents, (one, other) => {
      const there = driftOf(readDocument(one), readDocument(other));
      const back = driftOf(readDocument(other), readDocument(one));
      expect(there.added).toEqual(back.removed);
      expect(there.removed).toEqual(back.added);
      expect(there.breaking).toBe(there.removed.length > 0 || there.changed.some(({ breaking }) => breaking));
    }),
  );
});
