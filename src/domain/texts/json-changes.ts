/** The differences between two JSON values, field by field. */
import type { Json, JsonObject } from '../../schemas/json.ts';

export interface JsonChange {
  /** Dotted; of a list that differs anywhere the list itself. */
  path: string;
  /** Left out where there was nothing. */
  old?: Json;
  /** Left out where there is nothing any more. */
  new?: Json;
}

export function changesOf(before: Json | undefined, after: Json | undefined, path = ''): JsonChange[] {
  const changes: JsonChange[] = [];
  // Keeps its own stack: a config may be as deep as a body may be.
  const open = [{ before, after, path }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { before: was, after: is, path: at } = next;
    if (isObject(was) && isObject(is)) {
      const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])].reverse();
      for (const key of keys) {
        open.push({ before: own(was, key), after: own(is, key), path: at === '' ? key : `${at}.${key}` });
      }
    } else if (!isSame(was, is)) {
      changes.push({ path: at, ...(was === undefined ? {} : { old: was }), ...(is === undefined ? {} : { new: is }) });
    }
  }
  return changes;
}

/** Equal JSON, whatever the order of the keys. */
export function isSame(one: Json | undefined, other: Json | undefined): boolean {
  const open: Array<[Json | undefined, Json | undefined]> = [[one, other]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [a, b] = next;
    if (a === b) continue;
    if (Array.isArray(a) && Array.isArray(b)) {
      if (a.length !== b.length) return false;
      for (const [index, item] of a.entries()) open.push([item, b[index]]);
    } else if (isObject(a) && isObject(b)) {
      const keys = Object.keys(a);
      if (keys.length !== Object.keys(b).length) return false;
      for (const key of keys) open.push([own(a, key), own(b, key)]);
    } else {
      return false;
    }
  }
  return true;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own(value: { [key: string]: Json }, key: string): Json | undefined {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}
