/** JSON Schemas of signals: what is refused when a definition is created, and what a value is told. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPayloadSchemas, schemaFaults } from '../../../src/expressions/json-schema.ts';
import type { Json } from '../../../src/schemas/json.ts';

const schemas = createPayloadSchemas();
const faultsOf = (schema: Json) => schemaFaults(schema).map(({ path, message }) => `${path}: ${message}`);

describe('a schema is refused that', () => {
  test.each<[string, Json, string]>([
    ['is none', 7, ': must be a JSON Schema'],
    ['has a type that there is not', { type: 'text' }, 'type: must be equal to one of the allowed values'],
    ['has a keyword that is not supported', { propertes: {} }, "propertes: the keyword 'propertes' is not supported"],
    ['refers to another document', { $ref: 'https://example.org/x' }, '$ref: must name a part of this schema'],
    ['refers to what is not there', { $ref: '#/$defs/a' }, "$ref: there is no 'a' in $defs"],
    ['has an id, by which others could refer to it', { $id: 'x' }, "$id: the keyword '$id' is not supported"],
    ['is of another draft', { $schema: 'http://json-schema.org/draft-07/schema#' }, '$schema: must be https://'],
    ['has a pattern that RE2 does not know', { pattern: '(?=a)' }, "pattern: is not a pattern of RE2's syntax"],
    ['has such a pattern for names', { patternProperties: { '(a)\\1': true } }, "is not a pattern of RE2's syntax"],
    ['has an unknown format', { format: 'regex' }, 'format: must be one of date-time'],
    ['keeps parts where nothing finds them', { items: { $defs: {} } }, 'items.$defs: has its place at the top'],
    [
      'leads back to itself',
      { $defs: { a: { items: { $ref: '#/$defs/b' } }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' },
      'leads back to itself: a -> b -> a',
    ],
  ])('%s', (_, schema, message) => {
    expect(faultsOf(schema).join('\n')).toContain(message);
  });

  test('doubles with every reference, although it is short', () => {
    const levels = Array.from({ length: 40 }, (_, n): [string, Json] => [
      `l${n}`,
      { allOf: [{ $ref: `#/$defs/l${n + 1}` }, { $ref: `#/$defs/l${n + 1}` }] },
    ]);
    const schema = { $defs: { ...Object.fromEntries(levels), l40: { type: 'string' } }, $ref: '#/$defs/l0' };
    expect(faultsOf(schema)).toEqual([': has more than 200 parts, counted with all references written out']);
  });
});

describe('a value', () => {
  const order: Json = {
    type: 'object',
    properties: {
      amount: { type: 'number', minimum: 0 },
      email: { type: 'string', format: 'email' },
      lines: { type: 'array', items: { $ref: '#/$defs/line' }, uniqueItems: true },
      state: { enum: ['paid', 'open'] },
    },
    required: ['amount', 'state'],
    additionalProperties: false,
    $defs: {
      line: { type: 'object', required: ['sku'], properties: { sku: { type: 'string', pattern: '^[A-Z]+$' } } },
    },
  };

  test('that fits has no faults', () => {
    expect(schemaFaults(order)).toEqual([]);
    const value = { amount: 3, state: 'paid', email: 'a@example.org', lines: [{ sku: 'A' }, { sku: 'B' }] };
    expect(schemas.check(order, value)).toEqual([]);
  });

  test('is told all of its faults, each with its path', () => {
    const faults = schemas.check(order, { amount: -1, email: 'x', lines: [{}, { sku: 'a' }, { sku: 'a' }], more: 1 });
    expect(faults).toEqual(
      expect.arrayContaining([
        { path: 'state', message: 'is required' },
        { path: 'more', message: 'must NOT have additional properties' },
        { path: 'amount', message: 'must be >= 0' },
        { path: 'email', message: 'must match format "email"' },
        { path: 'lines.0.sku', message: 'is required' },
        { path: 'lines.1.sku', message: 'must match pattern "^[A-Z]+$"' },
        { path: 'lines', message: 'must have no item twice' },
      ]),
    );
    expect(schemas.check(order, { amount: 1, state: 'lost' })).toEqual([
      { path: 'state', message: 'must be equal to one of the allowed values: "paid", "open"' },
    ]);
  });

  test('fits or not by itself: true takes everything, false nothing', () => {
    expect(schemas.check(true, null)).toEqual([]);
    expect(schemas.check(false, null)).toHaveLength(1);
  });

  test('a hundred thousand items are compared with each other in one go', () => {
    const items = Array.from({ length: 100_000 }, (_, n) => ({ n }));
    expect(schemas.check({ uniqueItems: true }, items)).toEqual([]);
    expect(schemas.check({ uniqueItems: true }, [...items, { n: 0 }])).toHaveLength(1);
  });

  test('a pattern that would take ages elsewhere does not here', () => {
    expect(schemas.check({ pattern: '^(a+)+$' }, `${'a'.repeat(50_000)}b`)).toHaveLength(1);
  });
});

test('a schema that looks at items twice, on condition, takes what fits', () => {
  const schema: Json = {
    if: { anyOf: [{ contains: { pattern: '^a' }, minContains: 2 }], not: true },
    else: { items: { if: true, else: true } },
  };
  expect(schemaFaults(schema)).toEqual([]);
  expect(schemas.check(schema, { a: 'x' })).toEqual([]);
  expect(schemas.check(schema, ['a', 'b'])).toEqual([]);
});

test('whatever passes the check compiles', () => {
  const leaf = fc.constantFrom<Json>(
    true,
    {},
    { type: ['string', 'null'] },
    { const: { a: [1] } },
    { format: 'uuid' },
    { pattern: '^a' },
    { $ref: '#/$defs/d' },
    { type: 'nothing' },
    { minimum: 'x' },
    { required: ['a', 'a'] },
    { dependentRequired: { a: ['b'] } },
  );
  const { schema } = fc.letrec<{ schema: Json }>((tie) => ({
    schema: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.record({ items: tie('schema') }) as fc.Arbitrary<Json>,
      fc.record({ prefixItems: fc.array(tie('schema'), { maxLength: 2 }) }) as fc.Arbitrary<Json>,
      fc.record({ anyOf: fc.array(tie('schema'), { maxLength: 2 }), not: tie('schema') }) as fc.Arbitrary<Json>,
      fc.record({ if: tie('schema'), else: tie('schema') }) as fc.Arbitrary<Json>,
      fc.record({ properties: fc.dictionary(fc.string(), tie('schema'), { maxKeys: 2 }) }) as fc.Arbitrary<Json>,
      fc.record({ contains: tie('schema'), minContains: fc.constant(2) }) as fc.Arbitrary<Json>,
    ),
  }));
  fc.assert(
    fc.property(schema, (part) => {
      const whole = { $defs: { d: { type: 'string' } }, allOf: [part] };
      fc.pre(schemaFaults(whole).length === 0);
      expect(() => schemas.check(whole, { a: 'x' })).not.toThrow();
    }),
    { numRuns: 60 },
  );
});
