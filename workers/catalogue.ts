/** The adapters there are, by type: what the workers execute and the API lists. */
import { z } from 'zod';
import type { FieldFault } from '../src/domain/errors.ts';
import { hasTemplate } from '../src/domain/templates/template-syntax.ts';
import type { Checks } from '../src/domain/texts/checks.ts';
import type { ActionTypes } from '../src/engine/ports/use-cases.ts';
import { faultsOf, plainWords } from '../src/schemas/faults.ts';
import type { Json, JsonObject } from '../src/schemas/json.ts';
import type { Adapter } from './adapter.ts';
import type { AnyAdapter } from './shipped-adapters.ts';

export interface Catalogue extends ActionTypes {
  /** By canonical type. */
  get(type: string): Adapter | undefined;
  literalFields(type: string): readonly string[];
  /** Why the config of a canonical type may not contain secrets. */
  rejectsSecrets(type: string): string | undefined;
  /** Fields of such a config that may all the same. */
  secretFields(type: string): readonly string[];
  /** By canonical type: running it again changes nothing outside. */
  isIdempotent(type: string): boolean;
}

export function createCatalogue(adapters: readonly AnyAdapter[]): Catalogue {
  const byType = new Map<string, Adapter>();
  const canonicalOf = new Map<string, string>();
  for (const adapter of adapters) {
    for (const name of [adapter.type, ...(adapter.aliases ?? [])]) {
      if (canonicalOf.has(name)) throw new Error(`two adapters are called ${name}`);
      canonicalOf.set(name, adapter.type);
    }
    byType.set(adapter.type, adapter as Adapter); // The lane parses with `config` before it calls `run`.
  }
  const names = [...byType.keys()].sort();
  const listed = names
    .flatMap((name) => byType.get(name) ?? [])
    .map((adapter) => ({
      action_type: adapter.type,
      description: adapter.description,
      aliases: [...(adapter.aliases ?? [])],
      idempotent: adapter.idempotent ?? false,
      config_schema: schemaOf(adapter.config, 'input'),
      output_schema: schemaOf(adapter.output, 'output'),
    }));

  return {
    get: (type) => byType.get(type),
    canonical: (type) => canonicalOf.get(type),
    names: () => [...names],
    list: () => listed,
    isIdempotent: (type) => byType.get(type)?.idempotent ?? false,
    rejectsSecrets(type) {
      const { usesEngine, secretFields } = byType.get(type) ?? {};
      if (usesEngine !== true) return undefined;
      if (secretFields !== undefined) return `of an action '${type}' only ${secretFields.join(', ')} may hold secrets`;
      return `the input of an action '${type}' is stored, so it cannot hold secrets`;
    },
    secretFields: (type) => byType.get(type)?.secretFields ?? [],
    permissionOf: (type) => byType.get(type)?.permission,
    literalFields: (type) => byType.get(type)?.literal ?? [],
    check(type, config, checks) {
      const adapter = byType.get(canonicalOf.get(type) ?? '');
      if (adapter === undefined) return [{ path: '', message: `unknown action type ${type}` }];
      return [
        ...shapeFaults(adapter.config, config),
        ...expressionFaults(adapter.literal ?? [], config, checks),
        ...jsonSchemaFaults(adapter.jsonSchemas ?? [], config, checks),
        ...conditionFaults(adapter.conditions ?? [], config, checks),
      ];
    },
  };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return JSON.parse(JSON.stringify(rest)) as JsonObject; // Only JSON is left after the round trip.
}

/** What the schema rejects, except where a template stands for a value that only the run will have. */
function shapeFaults(schema: z.ZodType, config: Json): FieldFault[] {
  if (typeof config === 'string' && hasTemplate(config)) return [];
  const parsed = schema.safeParse(config, { error: plainWords });
  if (parsed.success) return [];
  const certain = parsed.error.issues.filter(
    (issue) => issue.code === 'unrecognized_keys' || !containsTemplate(valueAt(config, issue.path)),
  );
  return faultsOf(new z.ZodError(certain), schema);
}

function expressionFaults(fields: readonly string[], config: Json, checks: Checks): FieldFault[] {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) return [];
  return fields.flatMap((field) =>
    Object.hasOwn(config, field) ? celFaults(config[field] ?? null, field, checks) : [],
  );
}

function jsonSchemaFaults(fields: readonly string[], config: Json, checks: Checks): FieldFault[] {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) return [];
  return fields.flatMap((field) => {
    if (!Object.hasOwn(config, field)) return [];
    return checks.schemaFaults(config[field] ?? null).map(({ path, message }) => ({
      path: path === '' ? field : `${field}.${path}`,
      message,
    }));
  });
}

function conditionFaults(paths: readonly string[], config: Json, checks: Checks): FieldFault[] {
  return paths.flatMap((path) => {
    const condition = valueAt(config, path.split('.'));
    return condition === undefined || containsTemplate(condition) ? [] : celFaults(condition, path, checks);
  });
}

function celFaults(value: Json, path: string, checks: Checks): FieldFault[] {
  if (typeof value === 'string') {
    const message = checks.expression(value).fault;
    return message === undefined ? [] : [{ path, message }];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => celFaults(item, `${path}.${key}`, checks));
}

function valueAt(config: Json, path: readonly PropertyKey[]): Json | undefined {
  let at: Json | undefined = config;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as JsonObject)[String(key)]; // A list's positions are own properties too.
  }
  return at;
}

function containsTemplate(value: Json | undefined): boolean {
  if (typeof value === 'string') return hasTemplate(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(containsTemplate);
}
