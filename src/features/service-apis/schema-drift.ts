/**
 * What changed between two schemas, and whether somebody who wrote a client for the first one is broken by the second.
 * That depends on who reads: of what a client sends (`request`) nothing may become narrower, of what it gets
 * (`response`) nothing that it reads may go or become something else.
 */

import { isObject, isSame } from '../../domain/texts/json-changes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { ApiDocument } from './openapi-document.ts';
import { pairChoices } from './schema-choices.ts';

export type Direction = 'request' | 'response';

export interface SchemaChange {
  /** Dotted path of the field; empty for the value itself. Items of a list are `[]`, fields that are not named `*`. */
  field: string;
  breaking: boolean;
  message: string;
}

export interface SchemaDrift {
  compare(before: Json | undefined, after: Json | undefined, direction: Direction): SchemaChange[];
}

/** Of one pair of documents; more is not compared, which is said. */
const MAX_COMPARED = 100_000;
/** Of schemas in schemas: each is a call in a call. */
const MAX_DEPTH = 500;
const TOO_MUCH: SchemaChange = { field: '', breaking: false, message: 'too much to compare' };
const MAX_CHANGES = 100;
const MAX_SHOWN = 120;

type Resolve = ApiDocument['resolve'];

/** Limits that are narrower when they are higher, and those that are when they are lower. */
const LOWER_LIMITS = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'] as const;
const UPPER_LIMITS = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'] as const;
/** Any change of them is another meaning. */
const FORMS = ['format', 'pattern', 'multipleOf'] as const;
const CHOICES = ['oneOf', 'anyOf'] as const;

export function createSchemaDrift(resolveBefore: Resolve, resolveAfter: Resolve): SchemaDrift {
  const numberOf = numbering();
  /** By pairs of schemas; complete, for any caller. */
  const cache = new Map<string, SchemaChange[]>();
  /** What was cut short inside of a circle is complete only together with what is reported where the circle was entered. */
  const partial = new Map<string, SchemaChange[]>();
  const open = new Set<string>();
  let cuts = 0;
  let compared = 0;

  function compare(before: Json | undefined, after: Json | undefined, direction: Direction): SchemaChange[] {
    const [was, is] = [resolveBefore(before), resolveAfter(after)];
    // A schema is the one place in its document, by whatever way it is reached: a reference, `allOf`, `items`.
    const key = `${numberOf(was)} ${numberOf(is)} ${direction}`;
    const remembered = cache.get(key);
    if (remembered !== undefined) return remembered;
    // A schema that contains itself differs there in what differs around it, and in nothing more.
    const around = open.has(key) ? [] : partial.get(key);
    if (around !== undefined || open.size === MAX_DEPTH) {
      cuts += 1;
      return around ?? [TOO_MUCH];
    }
    const cutsBefore = cuts;
    open.add(key);
    const changes = compareResolved(was, is, direction);
    open.delete(key);
    if (open.size === 0) closeCircles(changes);
    if (open.size === 0 || cuts === cutsBefore) cache.set(key, changes);
    else partial.set(key, changes);
    return changes;
  }

  /** Where nothing differs, nothing that was met on the way does. */
  function closeCircles(changes: readonly SchemaChange[]): void {
    if (changes.length === 0) for (const [key, nothing] of partial) cache.set(key, nothing);
    partial.clear();
  }

  function compareResolved(before: Json | undefined, after: Json | undefined, direction: Direction): SchemaChange[] {
    compared += 1;
    if (compared > MAX_COMPARED) {
      return compared === MAX_COMPARED + 1 ? [TOO_MUCH] : [];
    }
    const was = shapeOf(before, resolveBefore);
    const is = shapeOf(after, resolveAfter);
    return [
      ...typeChanges(was, is, direction),
      ...valueChanges(was, is, direction),
      ...limitChanges(was, is, direction),
      ...choiceChanges(was, is, direction),
      ...insideOfChoices(was, is, direction),
      ...fieldChanges(was, is, direction),
      ...(was.items === undefined && is.items === undefined
        ? []
        : compare(was.items ?? true, is.items ?? true, direction).map((change) => within('[]', change))),
      ...(isObject(was.others) && isObject(is.others)
        ? compare(was.others, is.others, direction).map((change) => within('*', change))
        : []),
    ].slice(0, MAX_CHANGES);
  }

  /** In choices that both have. */
  function insideOfChoices(was: Shape, is: Shape, direction: Direction): SchemaChange[] {
    return CHOICES.flatMap((name) => {
      const { pairs } = pairChoices(choicesOf(was, name), choicesOf(is, name));
      return pairs.flatMap(([before, after]) => compare(before, after, direction));
    });
  }

  function fieldChanges(was: Shape, is: Shape, direction: Direction): SchemaChange[] {
    const changes: SchemaChange[] = [];
    for (const name of new Set([...was.fields.keys(), ...is.fields.keys()])) {
      const field = was.fields.has(name) && is.fields.has(name);
      const required = { was: was.required.has(name), is: is.required.has(name) };
      if (!field) {
        changes.push(was.fields.has(name) ? gone(name) : come(name, required.is && direction === 'request'));
        continue;
      }
      if (!required.was && required.is) changes.push(changed(name, direction === 'request', 'is required now'));
      if (required.was && !required.is) changes.push(changed(name, direction === 'response', 'may be missing now'));
      const inner = compare(was.fields.get(name), is.fields.get(name), direction);
      changes.push(...inner.map((change) => within(name, change)));
    }
    // Required without being described.
    for (const name of is.required) {
      if (was.required.has(name) || is.fields.has(name)) continue;
      changes.push(changed(name, direction === 'request', 'is required now'));
    }
    if (was.closed !== is.closed) {
      const breaking = is.closed && direction === 'request';
      changes.push(changed('', breaking, is.closed ? 'takes no other fields now' : 'takes other fields now'));
    }
    return changes;
  }

  return { compare };
}

interface Shape {
  /** Undefined: any. */
  types: ReadonlySet<string> | undefined;
  values: readonly Json[] | undefined;
  fields: ReadonlyMap<string, Json>;
  required: ReadonlySet<string>;
  /** No other fields are taken. */
  closed: boolean;
  items: Json | undefined;
  /** The schema of the fields that are not named. */
  others: Json | undefined;
  plain: JsonObject;
}

const MAX_MERGED = 50;

/** What a schema says of a value itself, with its references followed and `allOf` taken together. */
function shapeOf(schema: Json | undefined, resolve: Resolve): Shape {
  const fields = new Map<string, Json>();
  const required = new Set<string>();
  const plain: JsonObject = Object.create(null);
  let types: Set<string> | undefined;
  let closed = false;
  const open = [schema];
  for (let parts = 0; open.length > 0 && parts < MAX_MERGED; parts += 1) {
    const part = resolve(open.shift());
    if (!isObject(part)) continue;
    for (const [key, value] of Object.entries(part)) if (plain[key] === undefined) plain[key] = value;
    for (const [name, field] of Object.entries(isObject(part['properties']) ? part['properties'] : {})) {
      if (!fields.has(name)) fields.set(name, field);
    }
    for (const name of Array.isArray(part['required']) ? part['required'] : []) required.add(String(name));
    if (part['additionalProperties'] === false) closed = true;
    const said = typesOf(part);
    if (said !== undefined) types = types === undefined ? said : intersect(types, said);
    if (Array.isArray(part['allOf'])) open.push(...part['allOf'].slice(0, MAX_MERGED));
  }
  const values = Array.isArray(plain['enum'])
    ? plain['enum']
    : plain['const'] === undefined
      ? undefined
      : [plain['const']];
  return {
    types,
    values,
    fields,
    required,
    closed,
    items: plain['items'],
    others: plain['additionalProperties'],
    plain,
  };
}

function typesOf(schema: JsonObject): Set<string> | undefined {
  const { type } = schema;
  const named = typeof type === 'string' ? [type] : Array.isArray(type) ? type.map(String) : undefined;
  if (named === undefined) return undefined;
  const types = new Set(named);
  if (schema['nullable'] === true) types.add('null');
  // Every integer is a number.
  if (types.has('number')) types.add('integer');
  return types;
}

function intersect(one: ReadonlySet<string>, other: ReadonlySet<string>): Set<string> {
  return new Set([...one].filter((type) => other.has(type)));
}

function typeChanges(was: Shape, is: Shape, direction: Direction): SchemaChange[] {
  const lost = was.types === undefined ? is.types !== undefined : hasMore(was.types, is.types);
  const won = is.types === undefined ? was.types !== undefined : hasMore(is.types, was.types);
  if (!lost && !won) return [];
  const breaking = direction === 'request' ? lost : won;
  return [changed('', breaking, `was ${typeWords(was.types)} and is ${typeWords(is.types)}`)];
}

function hasMore(one: ReadonlySet<string>, other: ReadonlySet<string> | undefined): boolean {
  return other !== undefined && [...one].some((type) => !other.has(type));
}

function typeWords(types: ReadonlySet<string> | undefined): string {
  if (types === undefined) return 'anything';
  const shown = types.has('number') ? [...types].filter((type) => type !== 'integer') : [...types];
  return shown.sort().join(' or ') || 'nothing';
}

function valueChanges(was: Shape, is: Shape, direction: Direction): SchemaChange[] {
  if (was.values === undefined && is.values === undefined) return [];
  if (was.values === undefined)
    return [changed('', direction === 'request', `takes only ${shown(is.values ?? [])} now`)];
  if (is.values === undefined)
    return [changed('', direction === 'response', 'is not limited to certain values any more')];
  const lost = was.values.filter((value) => !has(is.values, value));
  const won = is.values.filter((value) => !has(was.values, value));
  return [
    ...(lost.length === 0 ? [] : [changed('', direction === 'request', `is never ${shown(lost)} any more`)]),
    // A reader of a closed list meets a value that it does not know: for that lists grow.
    ...(won.length === 0 ? [] : [changed('', false, `may be ${shown(won)} now`)]),
  ];
}

function limitChanges(was: Shape, is: Shape, direction: Direction): SchemaChange[] {
  const changes: SchemaChange[] = [];
  for (const [names, sign] of [
    [LOWER_LIMITS, 1],
    [UPPER_LIMITS, -1],
  ] as const) {
    for (const name of names) {
      const [before, after] = [was.plain[name], is.plain[name]];
      if (isSame(before, after)) continue;
      const narrower = strictness(after, sign) > strictness(before, sign);
      changes.push(
        changed('', narrower && direction === 'request', `${name} was ${excerptOf(before)} and is ${excerptOf(after)}`),
      );
    }
  }
  for (const name of FORMS) {
    const [before, after] = [was.plain[name], is.plain[name]];
    if (isSame(before, after)) continue;
    const breaking = direction === 'request' ? after !== undefined : before !== undefined;
    changes.push(changed('', breaking, `${name} was ${excerptOf(before)} and is ${excerptOf(after)}`));
  }
  return changes;
}

/** In OpenAPI 3.0 an exclusive limit is true or false. */
function strictness(limit: Json | undefined, sign: 1 | -1): number {
  if (typeof limit === 'number') return sign * limit;
  if (typeof limit === 'boolean') return limit ? 1 : 0;
  return limit === undefined ? Number.NEGATIVE_INFINITY : 0;
}

function choiceChanges(was: Shape, is: Shape, direction: Direction): SchemaChange[] {
  const changes: SchemaChange[] = [];
  for (const name of CHOICES) {
    const [old, now] = [choicesOf(was, name), choicesOf(is, name)];
    if (old.length + now.length === 0) continue;
    const { lost, won } = pairChoices(old, now);
    // Where there was no choice before, anything was good; where there is none any more, anything is.
    const narrower = old.length === 0 ? true : now.length > 0 && lost > 0;
    const wider = now.length === 0 ? true : old.length > 0 && won > 0;
    if (!narrower && !wider) continue;
    const breaking = direction === 'request' ? narrower : wider;
    changes.push(changed('', breaking, `${name} lost ${lost} and won ${won} of its choices`));
  }
  return changes;
}

function choicesOf({ plain }: Shape, name: (typeof CHOICES)[number]): readonly Json[] {
  const choices = plain[name];
  return Array.isArray(choices) ? choices : [];
}

/** Schemas by their identity; what is none says as little as any other that is none. */
function numbering(): (schema: Json | undefined) => number {
  const numbers = new Map<Json | undefined, number>();
  return (schema) => {
    const of = isObject(schema) ? schema : undefined;
    const number = numbers.get(of) ?? numbers.size;
    numbers.set(of, number);
    return number;
  };
}

function has(values: readonly Json[] | undefined, value: Json): boolean {
  return values?.some((known) => isSame(known, value)) === true;
}

function shown(values: readonly Json[]): string {
  const text = values.map((value) => JSON.stringify(value)).join(', ');
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function excerptOf(value: Json | undefined): string {
  return value === undefined ? 'not said' : shown([value]);
}

function gone(field: string): SchemaChange {
  return { field, breaking: true, message: 'is not there any more' };
}

function come(field: string, breaking: boolean): SchemaChange {
  return { field, breaking, message: breaking ? 'is new and required' : 'is new' };
}

function changed(field: string, breaking: boolean, message: string): SchemaChange {
  return { field, breaking, message };
}

function within(name: string, change: SchemaChange): SchemaChange {
  return { ...change, field: change.field === '' ? name : `${name}.${change.field}` };
}
