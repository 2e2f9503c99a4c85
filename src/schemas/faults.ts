/** What zod found wrong, in the words and dotted paths that clients get. */
import { z } from 'zod';
import type { Fault } from './json-guard.ts';
import { didYouMean } from './nearest.ts';

/** More than so many are not reported. */
export const MAX_FAULTS = 1_000;
/** A suggestion compares with every known name; a body full of wrong ones gets it for the first of them. */
export const MAX_SUGGESTIONS = 20;

export type Parsed<T> = { ok: true; value: T } | { ok: false; faults: Fault[] };

/** Parses and reports all faults at once; an unknown field is named together with the nearest known one. */
export function parseWith<S extends z.ZodType>(schema: S, input: unknown): Parsed<z.output<S>> {
  const result = schema.safeParse(input, { error: plainWords });
  return result.success ? { ok: true, value: result.data } : { ok: false, faults: faultsOf(result.error, schema) };
}

export function faultsOf(error: z.ZodError, schema: z.ZodType): Fault[] {
  const faults: Fault[] = [];
  let suggestions = MAX_SUGGESTIONS;
  for (const issue of error.issues) {
    if (faults.length >= MAX_FAULTS) break;
    const path = issue.path.map(String);
    if (issue.code !== 'unrecognized_keys') {
      faults.push({ path: path.join('.'), message: issue.message });
      continue;
    }
    const known = knownFields(schema, path);
    for (const key of issue.keys.slice(0, MAX_FAULTS)) {
      const suggestion = suggestions-- > 0 ? didYouMean(key, known) : '';
      faults.push({ path: [...path, key].join('.'), message: `unknown field '${key}'${suggestion}` });
    }
  }
  return faults;
}

export function plainWords(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') {
    if (issue.input === undefined) return 'is required';
    const article = /^[aeiou]/.test(issue.expected) ? 'an' : 'a';
    const expected = issue.expected === 'int' ? 'an integer' : `${article} ${issue.expected}`;
    return `must be ${expected}, not ${nameOf(issue.input)}`;
  }
  if (issue.code === 'invalid_value') {
    if (issue.input === undefined) return 'is required';
    return `must be one of ${issue.values.map(String).join(', ')}`;
  }
  return undefined;
}

function nameOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isInteger(value)) return 'a fraction';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** The fields of the object schema that stands at `path`. */
function knownFields(schema: z.ZodType, path: readonly string[]): string[] {
  let at: unknown = schema;
  for (const key of path) {
    at = bare(at);
    if (at instanceof z.ZodObject) at = (at.shape as Record<string, unknown>)[key];
    else if (at instanceof z.ZodArray) at = at.element;
    else if (at instanceof z.ZodRecord) at = at.valueType;
    else return [];
  }
  at = bare(at);
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function bare(schema: unknown): unknown {
  let at = schema;
  for (;;) {
    if (at instanceof z.ZodOptional || at instanceof z.ZodNullable || at instanceof z.ZodDefault) at = at.unwrap();
    else if (at instanceof z.ZodPipe) at = at.in;
    else return at;
  }
}
