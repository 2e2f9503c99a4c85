/**
 * Customizes a template. The rule is that of JSON Merge Patch (RFC 7396): objects go into each
 * other, null takes away, everything else replaces. Parameters are matched by name and actions by
 * action_id; what the template has not is added at the end. An action that is taken away hands its dependencies on.
 */

import { snakeCase } from '../../domain/definition/canonical-form.ts';
import type { Definition } from '../../domain/definition/definition.ts';
import { FaultList } from '../../domain/definition/fault-list.ts';
import type { FieldFault } from '../../domain/errors.ts';
import { isObject } from '../../domain/texts/json-changes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { PROTOTYPE_NAMES } from '../../schemas/json-guard.ts';

/** What `parameters` and `actions` are matched by. */
const KEYS = { parameters: 'name', actions: 'action_id' } as const;
type Listed = keyof typeof KEYS;
/** Who says something in an older spelling means it instead of what the template says in the newer one. */
const OLDER: Readonly<Record<Listed, Readonly<Record<string, readonly string[]>>>> = {
  parameters: {
    default_value: ['default'],
    allowed_values: ['enum'],
    validation_rules: ['min_length', 'max_length', 'pattern'],
  },
  actions: {
    condition: ['when'],
    retry_count: ['retry.max_attempts'],
    retry_delay: ['retry.initial_delay_seconds', 'retry.backoff'],
    continue_on_error: ['on_failure'],
    on_error: ['on_failure'],
  },
};
const UNREADABLE = 'The customizations are not valid';

export interface Customised {
  /** A definition as a client sends one, still to be checked. */
  body: JsonObject;
  /** A fault of that definition, at the field of the customizations where it is fixed. */
  placed(fault: FieldFault): FieldFault;
}

export function customise(template: Definition, customizations: JsonObject): Customised {
  const faults = new FaultList();
  // What a definition is made of is JSON, which its interface cannot say.
  const base = structuredClone(template) as unknown as JsonObject;
  const { parameters, actions, ...fields } = customizations;
  const paths = { parameters: new Map<string, string>(), actions: new Map<string, string>() };
  const body: JsonObject = {
    ...mergeObjects(base, fields),
    parameters: mergeListed('parameters', base, parameters, { places: paths.parameters, faults }),
    actions: mergeListed('actions', base, actions, { places: paths.actions, faults }),
  };
  faults.throwIfAny('invalid_request', UNREADABLE);
  const pathOf = (path: string): string => {
    const [list = '', index = '', ...rest] = path.split('.');
    if (path === '') return 'customizations';
    if (list !== 'parameters' && list !== 'actions') return `customizations.${path}`;
    const key = listOf(body[list])[Number(index)]?.[KEYS[list]];
    if (typeof key !== 'string') return `customizations.${path}`;
    return ['customizations', list, paths[list].get(key) ?? key, ...rest].join('.');
  };
  return { body, placed: ({ path, message }) => ({ path: pathOf(path), message }) };
}

interface Entry {
  key: string;
  /** As the client wrote it: a key, or the index in its list. */
  path: string;
  change: JsonObject | null;
}

function mergeListed(
  list: Listed,
  base: JsonObject,
  changes: Json | undefined,
  { places: paths, faults }: { places: Map<string, string>; faults: FaultList },
): JsonObject[] {
  const merged = new Map(listOf(base[list]).map((item): [string, JsonObject] => [String(item[KEYS[list]]), item]));
  for (const { key, path, change } of entriesOf(list, changes, faults)) {
    if (paths.has(key)) {
      faults.add(`customizations.${list}.${path}`, `'${key}' is already changed by ${list}.${paths.get(key)}`);
      continue;
    }
    paths.set(key, path);
    const original = merged.get(key);
    if (change === null) {
      if (!merged.delete(key))
        faults.add(`customizations.${list}.${path}`, `the template has no '${key}' to take away`);
      if (list === 'actions' && original !== undefined) handOnDependencies(merged, key, original);
    } else {
      const keyed = { ...change, [KEYS[list]]: key };
      merged.set(
        key,
        original === undefined ? keyed : mergeObjects(withoutNewerSpellings(list, original, change), keyed),
      );
    }
  }
  return [...merged.values()];
}

/** What was said of it is in an object by their keys, or in a list of objects that have them. */
function entriesOf(list: Listed, changes: Json | undefined, faults: FaultList): Entry[] {
  const at = `customizations.${list}`;
  if (changes === undefined) return [];
  if (typeof changes !== 'object' || changes === null) {
    faults.add(at, `must be an object by ${KEYS[list]}, or a list of objects with ${KEYS[list]}`);
    return [];
  }
  const written = Array.isArray(changes)
    ? changes.map((value, index): [string | undefined, string, Json] => [keyOf(list, value), String(index), value])
    : Object.entries(changes).map(([key, value]): [string | undefined, string, Json] => [key, key, value]);
  return written.flatMap(([key, path, value]) => {
    const mayBeNull = !Array.isArray(changes);
    if (!isObject(value) && !(mayBeNull && value === null)) {
      faults.add(`${at}.${path}`, mayBeNull ? 'must be an object, or null to take it away' : 'must be an object');
      return [];
    }
    const field = `${at}.${path}.${KEYS[list]}`;
    if (key === undefined || key === '' || PROTOTYPE_NAMES.has(key)) faults.add(field, 'is required');
    else if (isObject(value) && Object.hasOwn(value, KEYS[list]) && value[KEYS[list]] !== key) {
      faults.add(field, `differs from its key '${key}': take the one away and add the other`);
    } else return [{ key, path, change: value }];
    return [];
  });
}

function keyOf(list: Listed, value: Json): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { [KEYS[list]]: key, name } = value;
  if (typeof key === 'string') return key;
  // As in a definition: an action without an id gets it from its name.
  return list === 'actions' && key === undefined && typeof name === 'string' ? snakeCase(name) : undefined;
}

/** Who waited for it waits for what it waited for. */
function handOnDependencies(actions: Map<string, JsonObject>, removed: string, { depends_on }: JsonObject): void {
  const inherited = Array.isArray(depends_on) ? depends_on : [];
  for (const [key, action] of actions) {
    const own = action['depends_on'];
    if (!Array.isArray(own) || !own.includes(removed)) continue;
    const next = own.flatMap((id) => (id === removed ? inherited : [id]));
    actions.set(key, { ...action, depends_on: [...new Set(next)] });
  }
}

function withoutNewerSpellings(list: Listed, original: JsonObject, change: JsonObject): JsonObject {
  const copy = structuredClone(original);
  for (const [older, newer] of Object.entries(OLDER[list])) {
    if ((change[older] ?? null) === null) continue;
    for (const path of newer) {
      const [field = '', inner] = path.split('.');
      const value = copy[field];
      if (inner === undefined) delete copy[field];
      else if (isObject(value)) delete value[inner];
    }
  }
  // Whether a parameter is required follows from its default again, unless that too is said.
  const saysDefault = Object.hasOwn(change, 'default') || Object.hasOwn(change, 'default_value');
  if (list === 'parameters' && saysDefault && !Object.hasOwn(change, 'required')) delete copy['required'];
  return copy;
}

function mergeObjects(base: JsonObject, patch: JsonObject): JsonObject {
  const merged = new Map(Object.entries(base));
  for (const [field, value] of Object.entries(patch)) {
    if (PROTOTYPE_NAMES.has(field)) continue;
    const before = merged.get(field);
    if (value === null) merged.delete(field);
    else merged.set(field, isObject(value) ? mergeObjects(isObject(before) ? before : {}, value) : value);
  }
  return Object.fromEntries(merged);
}

function listOf(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}
