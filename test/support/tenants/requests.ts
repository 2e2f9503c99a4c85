/** Every operation of the OpenAPI document as requests that name what another tenant has, wherever an id fits. */
import type { JsonObject } from '../../../src/schemas/json.ts';

/** By the name that a parameter or a field has: what the other tenant has of it. */
export type Ids = Readonly<Record<string, readonly string[]>>;

export interface ForeignRequest {
  operation: string;
  permission: string;
  method: string;
  path: string;
  body?: unknown;
  /** The path names something of the other tenant. */
  foreignPath: boolean;
}

interface Schema {
  $ref?: string;
  type?: string | string[];
  example?: unknown;
  examples?: unknown[];
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
}
interface Parameter {
  $ref?: string;
  name: string;
  in: string;
  required?: boolean;
}
interface Described {
  operationId: string;
  'x-permission'?: string;
  'x-websocket'?: unknown;
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}
/** As much as is looked at here. */
export interface Document {
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, Schema>; parameters?: Record<string, Parameter> };
}

const METHODS = ['get', 'post', 'put', 'delete'];

/** `own`: what a path may name that is nobody's, by `operationId.parameter` or by parameter. */
export function foreignRequests(document: Document, ids: Ids, own: Readonly<Record<string, string>>): ForeignRequest[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      // By HTTP nothing is served where a WebSocket is; test/integration/task-sockets.test.ts has the tenants of those.
      if (operation?.['x-websocket'] !== undefined) return [];
      return operation === undefined ? [] : requestsOf(document, ids, own, { path, method, operation });
    }),
  );
}

function requestsOf(
  document: Document,
  ids: Ids,
  own: Readonly<Record<string, string>>,
  { path, method, operation }: { path: string; method: string; operation: Described },
): ForeignRequest[] {
  const { operationId, parameters = [], requestBody } = operation;
  const named = parameters.map(
    (parameter) => document.components.parameters?.[parameter.$ref?.split('/').pop() ?? ''] ?? parameter,
  );
  const inPath = named.filter((parameter) => parameter.in === 'path').map(({ name }) => name);
  const valuesOf = (name: string): readonly string[] => {
    const nobodys = own[`${operationId}.${name}`] ?? own[name];
    const found = ids[`${operationId}.${name}`] ?? (nobodys === undefined ? ids[name] : [nobodys]);
    if (found !== undefined) return found;
    throw new Error(
      `Nothing of another tenant is known for {${name}} of ${operationId}: let test/support/tenants/plant.ts make one and name it in its ids`,
    );
  };
  const count = Math.max(1, ...inPath.map((name) => valuesOf(name).length));
  const schema = Object.entries(requestBody?.content ?? {}).find(([type]) => type.includes('json'))?.[1].schema;
  const bodies = schema === undefined ? [undefined] : bodiesOf(document, ids, schema);
  const inQuery = named.filter((parameter) => parameter.in === 'query');
  const idsIn = (name: string) => ids[`${operationId}.${name}`] ?? ids[name] ?? [];
  // Nobody waits for what no worker does.
  const always = inQuery.flatMap(({ name, required }) => {
    if (name === 'wait') return ['wait=0'];
    return required === true ? [`${name}=${encodeURIComponent(idsIn(name)[0] ?? 'text')}`] : [];
  });
  const asked = inQuery
    .filter(({ required }) => required !== true)
    .flatMap(({ name }) => idsIn(name).map((id) => `${name}=${encodeURIComponent(id)}`));
  const queries = ['', ...asked].map((query) => [...always, ...(query === '' ? [] : [query])].join('&'));
  const requests: ForeignRequest[] = [];
  for (let n = 0; n < count; n += 1) {
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
      const values = valuesOf(name);
      return encodeURIComponent(values[n % values.length] ?? '');
    });
    for (const query of queries) {
      for (const body of bodies) {
        requests.push({
          operation: operationId,
          permission: operation['x-permission'] ?? '',
          method: method.toUpperCase(),
          path: query === '' ? filled : `${filled}?${query}`,
          ...(body === undefined ? {} : { body }),
          foreignPath: inPath.some((name) => own[`${operationId}.${name}`] === undefined && own[name] === undefined),
        });
      }
    }
  }
  return requests;
}

/** As its example has it, or with what it must have; and once more with each id that it may have besides. */
function bodiesOf(document: Document, ids: Ids, schema: Schema): unknown[] {
  const sample = sampleOf(document, ids, schema, '');
  if (typeof sample !== 'object' || sample === null || Array.isArray(sample)) return [sample];
  // Nor for what is never handed out.
  const body = Object.hasOwn(sample, 'wait_seconds') ? { ...sample, wait_seconds: 0 } : sample;
  const properties = Object.keys(resolved(document, schema).properties ?? {});
  const more = properties
    .filter((name) => !Object.hasOwn(body, name))
    .flatMap((name) => (ids[name] ?? []).slice(0, 1).map((id) => ({ ...body, [name]: id })));
  return [body, ...more];
}

function sampleOf(document: Document, ids: Ids, given: Schema, name: string): unknown {
  const schema = resolved(document, given);
  const id = ids[name]?.[0];
  if (id !== undefined && (schema.type === 'string' || schema.type === undefined)) return id;
  const example = schema.example ?? schema.examples?.[0];
  if (example !== undefined) return withIds(example, ids);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  const [first] = schema.anyOf ?? schema.oneOf ?? [];
  if (first !== undefined) return sampleOf(document, ids, first, name);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === 'object' || schema.properties !== undefined) {
    const wanted = (schema.required ?? []).map((key) => [key, schema.properties?.[key] ?? {}] as const);
    return Object.fromEntries(wanted.map(([key, of]) => [key, sampleOf(document, ids, of, key)]));
  }
  if (type === 'array') return schema.items === undefined ? [] : [sampleOf(document, ids, schema.items, name)];
  if (type === 'integer' || type === 'number') return schema.minimum ?? 1;
  if (type === 'boolean') return false;
  return schema.default ?? 'text';
}

function resolved(document: Document, schema: Schema): Schema {
  const name = schema.$ref?.split('/').pop();
  const found = name === undefined ? undefined : document.components.schemas[name];
  if (found !== undefined) return resolved(document, found);
  if (schema.allOf === undefined) return schema;
  return Object.assign({}, schema, ...schema.allOf.map((part) => resolved(document, part))) as Schema; // Each is one.
}

function withIds(value: unknown, ids: Ids): unknown {
  if (Array.isArray(value)) return value.map((item) => withIds(item, ids));
  if (typeof value !== 'object' || value === null) return value;
  const object = value as JsonObject; // An example is JSON.
  return Object.fromEntries(
    Object.entries(object).map(([key, inner]) => [
      key,
      typeof inner === 'string' ? (ids[key]?.[0] ?? inner) : withIds(inner, ids),
    ]),
  );
}
