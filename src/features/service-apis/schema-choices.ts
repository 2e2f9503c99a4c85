/** Which choices of `anyOf` and `oneOf` are the same ones in another document. Pure. */
import { isObject, isSame } from '../../domain/texts/json-changes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

export interface PairedChoices {
  pairs: Array<readonly [Json, Json]>;
  lost: number;
  won: number;
}

/** They say nothing of what is valid. */
const ANNOTATIONS = new Set(['title', 'description', 'example', 'examples', 'deprecated', '$comment', 'externalDocs']);
/** Below them a key is the name of a field, whatever it is called. */
const NAMED = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']);
const VALUES = new Set(['enum', 'const', 'default']);

/**
 * Choices that say the same are pairs, by a reference too, whose target may have changed. Of the others those with the same
 * type are, in their order: one that has got another field is still the same choice.
 */
export function pairChoices(before: readonly Json[], after: readonly Json[]): PairedChoices {
  const pairs: PairedChoices['pairs'] = [];
  let old = [...before];
  let now = [...after];
  for (const isPair of [sameWords, sameType]) {
    const left: Json[] = [];
    for (const choice of old) {
      const found = now.findIndex((other) => isPair(choice, other));
      if (found === -1) {
        left.push(choice);
        continue;
      }
      pairs.push([choice, now[found] ?? true]);
      now = now.filter((_, index) => index !== found);
    }
    old = left;
  }
  return { pairs, lost: old.length, won: now.length };
}

function sameWords(one: Json, other: Json): boolean {
  return isSame(withoutAnnotations(one), withoutAnnotations(other));
}

/** Only of objects and lists, in which something can have changed; another single value is another choice. */
function sameType(one: Json, other: Json): boolean {
  if (!isObject(one) || !isObject(other)) return false;
  const { type } = one;
  return (type === 'object' || type === 'array') && type === other['type'];
}

function withoutAnnotations(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(withoutAnnotations);
  if (!isObject(schema)) return schema;
  const bare: JsonObject = Object.create(null);
  for (const [key, value] of Object.entries(schema)) {
    if (ANNOTATIONS.has(key) || key.startsWith('x-')) continue;
    if (VALUES.has(key)) bare[key] = value;
    else if (NAMED.has(key) && isObject(value)) bare[key] = eachWithoutAnnotations(value);
    else bare[key] = withoutAnnotations(value);
  }
  return bare;
}

function eachWithoutAnnotations(schemas: JsonObject): JsonObject {
  const bare: JsonObject = Object.create(null);
  for (const [name, schema] of Object.entries(schemas)) bare[name] = withoutAnnotations(schema);
  return bare;
}
