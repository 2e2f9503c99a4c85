/**
 * From a schema in an OpenAPI document to one that inputs can be checked against: draft 2020-12, closed in itself, of few
 * schemas. A document is written by somebody else, so what cannot be said in it, or would not end, becomes "anything": a check
 * that lets something through costs an answer of the service, one that rejects what is valid costs the call.
 */

import type { Checks } from '../../domain/texts/checks.ts';
import { isObject } from '../../domain/texts/json-changes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { SCHEMA_FORMATS } from '../../schemas/schema-formats.ts';
import type { ApiDocument } from './openapi-document.ts';

/** Fewer than a schema may have that is compiled. */
const MAX_PARTS = 150;
const MAX_NESTED = 20;
const MAX_VALUES = 500;

const TYPES: ReadonlySet<string> = new Set(['null', 'boolean', 'integer', 'number', 'string', 'array', 'object']);
const FORMATS: ReadonlySet<string> = new Set(SCHEMA_FORMATS);
const COUNTS = ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'] as const;
const CHOICES = ['allOf', 'anyOf', 'oneOf'] as const;

export function checkableSchema(
  schema: Json | undefined,
  resolve: ApiDocument['resolve'],
  checks: Pick<Checks, 'patternFault'>,
): Json {
  let parts = 0;

  function visit(written: Json | undefined, nested: number, following: readonly string[]): Json {
    parts += 1;
    if (parts > MAX_PARTS || nested > MAX_NESTED) return true;
    const reference = isObject(written) ? written['$ref'] : undefined;
    if (typeof reference !== 'string') return isObject(written) ? translate(written, nested, following) : true;
    // What contains itself is checked down to there.
    if (following.includes(reference)) return true;
    const meant = resolve(written);
    return isObject(meant) ? translate(meant, nested, [...following, reference]) : true;
  }

  function translate(written: JsonObject, nested: number, following: readonly string[]): Json {
    const below = (part: Json | undefined) => visit(part, nested + 1, following);
    const schema: JsonObject = { ...values(written), ...limits(written, checks) };
    for (const name of CHOICES) {
      const choices = written[name];
      if (Array.isArray(choices) && choices.length > 0) schema[name] = choices.map(below);
    }
    if (isObject(written['items'])) schema['items'] = below(written['items']);
    const fields = isObject(written['properties']) ? written['properties'] : {};
    if (Object.keys(fields).length > 0) {
      schema['properties'] = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, below(field)]));
    }
    // In a schema of `allOf` it would reject the fields of the others, as the document's author has meant it to.
    if (written['additionalProperties'] === false) schema['additionalProperties'] = false;
    else if (isObject(written['additionalProperties'])) {
      schema['additionalProperties'] = below(written['additionalProperties']);
    }
    const required = requiredOf(written, fields, resolve);
    if (required.length > 0) schema['required'] = required;
    const nullable = written['nullable'] === true && written['type'] === undefined;
    return nullable ? { anyOf: [{ type: 'null' }, schema] } : schema;
  }

  return visit(schema, 0, []);
}

function values(written: JsonObject): JsonObject {
  const schema: JsonObject = {};
  const named = Array.isArray(written['type']) ? written['type'] : [written['type'] ?? null];
  const types = named.filter((type): type is string => typeof type === 'string' && TYPES.has(type));
  if (types.length > 0 && types.length === named.length) {
    if (written['nullable'] === true) types.push('null');
    schema['type'] = types.length === 1 ? (types[0] ?? null) : [...new Set(types)];
  }
  if (Array.isArray(written['enum']) && written['enum'].length > 0 && written['enum'].length <= MAX_VALUES) {
    const known = new Map(written['enum'].map((value) => [JSON.stringify(value), value]));
    schema['enum'] = [...known.values()];
  }
  if (written['const'] !== undefined) schema['const'] = written['const'];
  return schema;
}

function limits(written: JsonObject, checks: Pick<Checks, 'patternFault'>): JsonObject {
  const schema: JsonObject = {};
  for (const name of COUNTS) {
    const count = written[name];
    if (typeof count === 'number' && Number.isInteger(count) && count >= 0) schema[name] = count;
  }
  for (const [name, exclusive] of [
    ['minimum', 'exclusiveMinimum'],
    ['maximum', 'exclusiveMaximum'],
  ] as const) {
    const limit = written[name];
    // Until 3.1 an exclusive limit was true or false, and said it of the other one.
    if (typeof limit === 'number') schema[written[exclusive] === true ? exclusive : name] = limit;
    if (typeof written[exclusive] === 'number') schema[exclusive] = written[exclusive];
  }
  const { multipleOf, format, pattern, uniqueItems } = written;
  if (typeof multipleOf === 'number' && multipleOf > 0) schema['multipleOf'] = multipleOf;
  if (typeof format === 'string' && FORMATS.has(format)) schema['format'] = format;
  if (typeof pattern === 'string' && checks.patternFault(pattern) === undefined) schema['pattern'] = pattern;
  if (uniqueItems === true) schema['uniqueItems'] = true;
  return schema;
}

/** What only the service fills in is not required of the caller. */
function requiredOf(written: JsonObject, fields: JsonObject, resolve: ApiDocument['resolve']): string[] {
  const names = Array.isArray(written['required']) ? written['required'] : [];
  const required = names.filter((name): name is string => {
    if (typeof name !== 'string') return false;
    const field = Object.hasOwn(fields, name) ? resolve(fields[name]) : undefined;
    return !(isObject(field) && field['readOnly'] === true);
  });
  return [...new Set(required)];
}
