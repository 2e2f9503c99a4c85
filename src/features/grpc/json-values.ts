/** JSON in messages: a `google.protobuf.Value`, and beside it the same as text. */
import { fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { type Value, ValueSchema } from '@bufbuild/protobuf/wkt';
import { invalid } from './problems.ts';

/** Of a request, as JSON text: one of the two. Undefined: neither is set. */
export function jsonText(field: string, value: Value | undefined, text: string): string | undefined {
  if (value !== undefined && text !== '') throw invalid(`${field}_json`, `is set beside ${field}; set one of the two`);
  if (value !== undefined) return textOf(field, value);
  if (text === '') return undefined;
  try {
    JSON.parse(text);
  } catch {
    throw invalid(`${field}_json`, 'cannot be read as JSON');
  }
  return text;
}

function textOf(field: string, value: Value): string {
  try {
    return JSON.stringify(toJson(ValueSchema, value));
  } catch {
    throw invalid(field, 'is no JSON: a value is missing, or a number is not finite');
  }
}

/** For a response: undefined is left out of it. */
export function valueOfJson(json: unknown): Value | undefined {
  return json === undefined ? undefined : fromJson(ValueSchema, json as JsonValue); // Parsed from JSON.
}

export function jsonOf(json: unknown): string {
  return json === undefined ? '' : JSON.stringify(json);
}

/** A JSON object whose values are JSON texts already, so that their numbers stay as they were written. */
export function objectText(fields: Readonly<Record<string, string | undefined>>): string {
  const present = Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return `{${present.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;
}

/** Of a field that proto3 cannot leave out: its zero says that it is not set. */
export function unlessZero(value: number | string | boolean): string | undefined {
  return value === 0 || value === '' || value === false ? undefined : JSON.stringify(value);
}
