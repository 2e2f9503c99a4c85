/**
 * JSON Schema (draft 2020-12) for what comes from outside while a run waits. A schema is written by whoever writes the
 * definition, so it is bounded before it is used: a closed list of keywords, no reference but into its own `$defs`, none
 * that leads back to itself, few parts when all references are written out, few and small patterns of RE2. What is left takes
 * time linear in the size of a value; as that may still be long, it is spent in a thread that can be killed.
 */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { DataValidateFunction } from 'ajv/dist/types/index.js';
import formats from 'ajv-formats/dist/formats.js';
import type { FieldFault } from '../domain/errors.ts';
import { isObject } from '../domain/texts/json-changes.ts';
import { compilePattern, matchedLengthFault, matchesPattern, patternFault } from '../domain/texts/patterns.ts';
import type { Json, JsonObject } from '../schemas/json.ts';
import { SCHEMA_FORMATS as FORMATS } from '../schemas/schema-formats.ts';

export interface PayloadSchemas {
  /** What does not fit, with paths relative to the value. The schema has passed `schemaFaults`. */
  check(schema: Json, value: Json): FieldFault[];
}

const MAX_PARTS = 200;
/** Each may be tried on every text of a value. */
const MAX_PATTERNS = 50;
const MAX_FAULTS = 100;
const MAX_COMPILED = 200;
/** Longer texts have none of the formats; the expressions of some take time beyond linear. */
const MAX_FORMATTED_LENGTH = 2_048;
const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
const REFERENCE = /^#\/\$defs\/([^/~%]+)$/;

/** Keywords whose value is a schema, a list of them, or an object of them. */
const ONE = new Set(['additionalProperties', 'propertyNames', 'items', 'contains', 'not', 'if', 'then', 'else']);
const LIST = new Set(['allOf', 'anyOf', 'oneOf', 'prefixItems']);
const NAMED = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs']);
const PLAIN = new Set([
  ...[
    '$schema',
    '$ref',
    '$comment',
    'title',
    'description',
    'default',
    'examples',
    'deprecated',
    'readOnly',
    'writeOnly',
  ],
  ...['type', 'enum', 'const', 'format', 'pattern', 'minLength', 'maxLength', 'multipleOf', 'minimum', 'maximum'],
  ...['exclusiveMinimum', 'exclusiveMaximum', 'minItems', 'maxItems', 'uniqueItems', 'minContains', 'maxContains'],
  ...['minProperties', 'maxProperties', 'required', 'dependentRequired'],
]);

let shared: Ajv2020 | undefined;

/** Why a schema cannot be used, with paths into it; nothing for one that can. */
export function schemaFaults(schema: Json): FieldFault[] {
  if (typeof schema === 'boolean') return [];
  if (!isObject(schema)) return [{ path: '', message: 'must be a JSON Schema: an object, true or false' }];
  const walk = new Walk(schema);
  walk.visit(schema, '', []);
  if (walk.faults.length > 0) return walk.faults.slice(0, MAX_FAULTS);
  shared ??= createAjv();
  const ajv = shared;
  if (ajv.validateSchema(schema) === true) return [];
  return (ajv.errors ?? []).slice(0, MAX_FAULTS).map(toFault);
}

export function createPayloadSchemas(): PayloadSchemas {
  const compiled = new Map<string, ValidateFunction>();
  return {
    check(schema, value) {
      const key = JSON.stringify(schema);
      let validate = compiled.get(key);
      if (validate === undefined) {
        // One of its own for each: an instance keeps what it has compiled for ever.
        validate = createAjv().compile(schema as JsonObject | boolean); // It has passed `schemaFaults`.
        if (compiled.size >= MAX_COMPILED) compiled.clear();
        compiled.set(key, validate);
      }
      if (validate(value)) return [];
      return (validate.errors ?? []).slice(0, MAX_FAULTS).map(toFault);
    },
  };
}

/** Looks at every part, through references as often as they are followed, which is what a value costs at each place. */
class Walk {
  readonly faults: FieldFault[] = [];
  readonly #root: JsonObject;
  #parts = 0;
  #patterns = 0;

  constructor(root: JsonObject) {
    this.#root = root;
  }

  visit(schema: Json, path: string, following: readonly string[]): void {
    if (this.#parts > MAX_PARTS) return;
    this.#parts += 1;
    if (this.#parts > MAX_PARTS) {
      this.#fault('', `has more than ${MAX_PARTS} parts, counted with all references written out`);
      return;
    }
    // What is no schema at all is named by the schema of schemas.
    if (!isObject(schema)) return;
    for (const [keyword, value] of Object.entries(schema)) {
      const at = path === '' ? keyword : `${path}.${keyword}`;
      if (ONE.has(keyword)) this.visit(value, at, following);
      else if (LIST.has(keyword) && Array.isArray(value)) {
        for (const [index, part] of value.entries()) this.visit(part, `${at}.${index}`, following);
      } else if (keyword === '$defs' && path !== '' && isObject(value))
        this.#fault(at, 'has its place at the top of the schema');
      else if (NAMED.has(keyword) && isObject(value)) this.#visitNamed(keyword, value, at, following);
      else if (keyword === '$ref') this.#follow(value, at, following);
      else if (keyword === '$schema' && value !== DIALECT) this.#fault(at, `must be ${DIALECT}`);
      else if (keyword === 'pattern') this.#pattern(value, at);
      else if (keyword === 'format' && !FORMATS.some((format) => format === value)) {
        this.#fault(at, `must be one of ${FORMATS.join(', ')}`);
      } else if (!PLAIN.has(keyword) && !LIST.has(keyword) && !NAMED.has(keyword)) {
        this.#fault(at, `the keyword '${keyword}' is not supported`);
      }
    }
  }

  #visitNamed(keyword: string, parts: JsonObject, at: string, following: readonly string[]): void {
    for (const [name, part] of Object.entries(parts)) {
      if (keyword === 'patternProperties') this.#pattern(name, `${at}.${name}`);
      this.visit(part, `${at}.${name}`, following);
    }
  }

  #follow(reference: Json, at: string, following: readonly string[]): void {
    const name = typeof reference === 'string' ? REFERENCE.exec(reference)?.[1] : undefined;
    const defs = this.#root['$defs'];
    if (name === undefined) this.#fault(at, "must name a part of this schema, as '#/$defs/<name>'");
    else if (!isObject(defs) || !Object.hasOwn(defs, name)) this.#fault(at, `there is no '${name}' in $defs`);
    else if (following.includes(name)) this.#fault(at, `leads back to itself: ${[...following, name].join(' -> ')}`);
    else this.visit(defs[name] ?? null, at, [...following, name]);
  }

  #pattern(pattern: Json, at: string): void {
    this.#patterns += 1;
    if (this.#patterns > MAX_PATTERNS) {
      this.#fault('', `has more than ${MAX_PATTERNS} patterns, counted with all references written out`);
      return;
    }
    const fault = typeof pattern === 'string' ? patternFault(pattern) : undefined;
    if (fault !== undefined) this.#fault(at, fault);
  }

  #fault(path: string, message: string): void {
    if (!this.faults.some((known) => known.path === path && known.message === message))
      this.faults.push({ path, message });
  }
}

function createAjv(): Ajv2020 {
  // For names of fields. The flags are ignored: RE2 reads code points anyway.
  const regExp = Object.assign(
    (pattern: string) => {
      compilePattern(pattern);
      return { test: (name: string) => matchesPattern(pattern, name) };
    },
    { code: 'undefined' },
  );
  const ajv = new Ajv2020({
    allErrors: true,
    strict: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    ownProperties: true,
    logger: false,
    formats: Object.fromEntries(FORMATS.map((name) => [name, bounded(name)])),
    code: { regExp },
  });
  // Which items and fields a schema has looked at is asked by `unevaluated…` alone, which is not taken here; the code that
  // Ajv 8.20 makes to keep count of them reads, in some schemas with `contains` and `if`, a variable that there is not.
  ajv.opts.unevaluated = false;
  // Its own tries every text, however long.
  ajv.removeKeyword('pattern');
  ajv.addKeyword({ keyword: 'pattern', type: 'string', schemaType: 'string', errors: true, compile: patternKeyword });
  // Its own compares every item with every other one.
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must have no item twice' },
    validate: (wanted: boolean, items: Json[]) => !wanted || new Set(items.map(canonical)).size === items.length,
  });
  return ajv;
}

function patternKeyword(pattern: string): DataValidateFunction {
  compilePattern(pattern);
  const validate: DataValidateFunction = (text: string) => {
    const tooLong = matchedLengthFault(text);
    if (tooLong === undefined && matchesPattern(pattern, text)) return true;
    validate.errors = [
      { keyword: 'pattern', message: tooLong ?? `must match pattern "${pattern}"`, params: { pattern } },
    ];
    return false;
  };
  return validate;
}

function bounded(name: (typeof FORMATS)[number]): (text: string) => boolean {
  const format = formats.fullFormats[name];
  const test =
    format instanceof RegExp
      ? (text: string) => format.test(text)
      : typeof format === 'function'
        ? format
        : typeof format === 'object' && typeof format.validate === 'function'
          ? format.validate
          : undefined;
  if (test === undefined) throw new Error(`the format ${name} cannot be tested`);
  return (text) => text.length <= MAX_FORMATTED_LENGTH && (test as (text: string) => boolean)(text); // All are formats of texts.
}

/** The path of what is meant: a field that is missing, or that should not be there, is named itself. */
function toFault({ instancePath, params, message }: ErrorObject): FieldFault {
  const keys = instancePath
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const named: unknown = params['missingProperty'] ?? params['additionalProperty'] ?? params['propertyName'];
  if (typeof named === 'string') keys.push(named);
  const allowed: unknown = params['allowedValues'];
  const words = params['missingProperty'] === undefined ? (message ?? 'does not fit') : 'is required';
  return {
    path: keys.join('.'),
    message: Array.isArray(allowed)
      ? `${words}: ${allowed
          .map((value) => JSON.stringify(value))
          .join(', ')
          .slice(0, 500)}`
      : words,
  };
}

function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
}
