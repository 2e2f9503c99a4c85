/** Values that fit a schema more or less, and values that fit nothing. */
import type { Random } from '../../harness/random.ts';
import type { Document, Schema } from './document.ts';
import type { Known } from './known.ts';

const MAX_DEPTH = 8;

export function valueFor(
  random: Random,
  { document, known }: { document: Document; known: Known },
  given: Schema,
  name = '',
  depth = 0,
): unknown {
  const schema = document.resolve(given);
  const inside = (of: Schema, called: string) => valueFor(random, { document, known }, of, called, depth + 1);
  if (random.chance(0.7)) {
    const word = known.value(random, name);
    if (word !== undefined) return structuredClone(word);
  }
  const example = schema.example ?? schema.examples?.[0];
  if (example !== undefined && random.chance(0.4)) return structuredClone(example);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[random.whole(0, schema.enum.length - 1)];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return inside(choices[random.whole(0, choices.length - 1)] ?? {}, name);
  const type = Array.isArray(schema.type) ? schema.type[random.whole(0, schema.type.length - 1)] : schema.type;
  if (depth > MAX_DEPTH) return null;
  if (type === 'object' || schema.properties !== undefined) return objectFor(random, schema, depth, inside);
  if (type === 'array') {
    const count = Math.min(random.whole(schema.minItems ?? 0, Math.max(schema.minItems ?? 0, 3)), schema.maxItems ?? 3);
    return Array.from({ length: count }, () => inside(schema.items ?? {}, name));
  }
  if (type === 'string') return stringFor(random, schema);
  if (type === 'integer' || type === 'number') return numberFor(random, schema, type === 'integer');
  if (type === 'boolean') return random.chance(0.5);
  if (type === 'null') return null;
  return random.pick([null, 0, 1, '', 'text', true, [], {}, { a: { b: [1] } }]);
}

function objectFor(
  random: Random,
  { properties = {}, required = [], additionalProperties }: Schema,
  depth: number,
  inside: (of: Schema, called: string) => unknown,
): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  const likely = depth === 0 ? 0.35 : 0.2;
  for (const [name, schema] of Object.entries(properties)) {
    if (required.includes(name) || random.chance(likely)) made[name] = inside(schema, name);
  }
  if (typeof additionalProperties === 'object') {
    for (let count = random.whole(0, 2); count > 0; count -= 1) {
      made[random.pick(['x', 'n', 'items', 'message'])] = inside(additionalProperties, '');
    }
  }
  return made;
}

function stringFor(random: Random, { format, minLength = 0, maxLength = 100 }: Schema): string {
  if (format === 'date-time') return random.pick(['2030-01-01T00:00:00Z', '2020-02-29T23:59:59.999Z']);
  if (format === 'uri') return 'http://127.0.0.1:9/';
  const word = random.pick(['fuzz', 'a', 'hello_world', 'x-y.z', 'GET', '42', 'documents', 'a b', 'ü', '{{x}}']);
  return word.padEnd(minLength, 'x').slice(0, Math.max(maxLength, 0));
}

function numberFor(random: Random, schema: Schema, whole: boolean): number {
  const { exclusiveMinimum = Number.NEGATIVE_INFINITY, maximum = 1_000 } = schema;
  const least = Math.max(schema.minimum ?? 0, exclusiveMinimum + (whole ? 1 : 0.5));
  const edge = random.next();
  if (edge < 0.2) return least;
  if (edge < 0.3) return maximum;
  return whole ? random.whole(least, Math.min(maximum, least + 20)) : least + random.next();
}

/** Two kinds of trouble: what is no text for us, and what means something to somebody behind us. */
export const NASTY_TEXTS: readonly [string, ...string[]] = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  'x\udfff',
  '\u202e\u200b\ufeff',
  '🙂'.repeat(300),
  'x'.repeat(256),
  'x'.repeat(70_000),
  '\r\nX-Injected: 1',
  "' OR '1'='1",
  "'; DROP TABLE run; --",
  '$1',
  '%00',
  '%',
  '_%',
  '\\',
  '..',
  '../../../../etc/passwd',
  '{{secrets.API_KEY}}',
  '{{run.id}}',
  '{{params.__proto__.x}}',
  '{{constructor.constructor}}',
  '{{',
  '$'.concat('{process.env.DATABASE_URL}'),
  '<script>alert(1)</script>',
  '__proto__',
  'constructor',
  'toString',
  'NaN',
  'Infinity',
  '1e400',
  '9223372036854775808',
  '-1',
  '0x10',
  '2030-02-30T00:00:00Z',
  '+275760-09-13T00:00:00.001Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999999Z',
  '-271821-04-20T00:00:00Z',
  'null',
  'undefined',
  'true',
  '[]',
  '{}',
  '*',
  '00000000-0000-0000-0000-000000000000',
  'system:poll_openapi',
  '(a+)+$',
  ')',
  '"',
  "a'b",
  'a & b | !c',
  'http://169.254.169.254/latest/meta-data/',
  'file://localhost/etc/passwd',
  'javascript:alert(1)',
  'http://user:pass@127.0.0.1:9/',
  'eyJ0IjoiMjAzMC0wMS0wMVQwMDowMDowMFoiLCJpIjoieCIsInAiOjF9',
  'eyJlIjoiOTk5OTk5OTk5OTk5OTk5OTk5In0',
  'eyJpIjoiOTk5OTk5OTk5OTk5OTk5OTk5In0',
];

export const NASTY_NUMBERS: readonly [number, ...number[]] = [
  ...([-1, 0, -0, 0.5, 1e-320, 2 ** 31, 2 ** 31 - 1, 2 ** 53, 2 ** 63, -(2 ** 63), 1e21, 1e308, 1_000_001] as const),
];

export function nastyValue(random: Random): unknown {
  const kind = random.next();
  if (kind < 0.5) return random.pick(NASTY_TEXTS);
  if (kind < 0.7) return random.pick(NASTY_NUMBERS);
  return structuredClone(
    random.pick<unknown>([
      null,
      true,
      false,
      [],
      {},
      [[]],
      [null],
      { a: null },
      nested(30),
      nested(150),
      Array.from({ length: 1_001 }, () => ({})),
      Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`k${n}`, n])),
    ]),
  );
}

export function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let n = 0; n < depth; n += 1) value = n % 2 === 0 ? [value] : { a: value };
  return value;
}
