/**
 * Reads the operations of an OpenAPI document (3.x, and Swagger 2.0) that somebody else wrote: what is not as it should be
 * is left out, references are followed inside the document only, and nothing of it is trusted to be small or to end.
 */

import { isObject } from '../../domain/texts/json-changes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

export type ParameterPlace = 'path' | 'query' | 'header' | 'cookie';

export interface ApiParameter {
  name: string;
  in: ParameterPlace;
  required: boolean;
  /** As written, with its references; `true` where there is none. */
  schema: Json;
}

export interface ApiBody {
  required: boolean;
  /** Media type, in lower case and without parameters -> schema. */
  content: ReadonlyMap<string, Json>;
}

export interface ApiOperation {
  /** `GET /documents/{id}`: what it is called in drifts. */
  name: string;
  operationId: string | undefined;
  method: string;
  path: string;
  summary: string | undefined;
  deprecated: boolean;
  /** Credentials are required. */
  secured: boolean;
  parameters: readonly ApiParameter[];
  body: ApiBody | undefined;
  /** Status (`200`, `4XX`, `default`) -> its media types -> schema. */
  responses: ReadonlyMap<string, ReadonlyMap<string, Json>>;
}

export interface ApiDocument {
  title: string | undefined;
  version: string | undefined;
  operations: readonly ApiOperation[];
  /** The schema that is meant, its references followed; undefined where they lead out of the document or nowhere. */
  resolve(value: Json | undefined): Json | undefined;
}

export const MAX_OPERATIONS = 2_000;
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const;
const PLACES: ReadonlySet<string> = new Set(['path', 'query', 'header', 'cookie']);
const MAX_REFERENCES = 20;
export const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';
/** Of a parameter in Swagger 2.0: what is not about its value. */
const NOT_OF_THE_VALUE = new Set(['name', 'in', 'required', 'description', 'allowEmptyValue', 'collectionFormat']);

/** Why a value is no OpenAPI document that can be used; undefined for one that can. */
export function documentFault(value: Json): string | undefined {
  if (!isObject(value)) return 'is not an object';
  const version = value['openapi'] ?? value['swagger'];
  if (typeof version !== 'string' || !/^(?:2\.0|3\.\d)/.test(version)) {
    return "has no field 'openapi' with 3.x, nor 'swagger' with 2.0";
  }
  if (value['paths'] !== undefined && !isObject(value['paths'])) return "has no object 'paths'";
  let operations = 0;
  for (const item of Object.values(value['paths'] ?? {})) {
    if (isObject(item)) operations += METHODS.filter((method) => isObject(item[method])).length;
  }
  return operations > MAX_OPERATIONS ? `has more than ${MAX_OPERATIONS} operations` : undefined;
}

/** In the order of the document. The document has passed `documentFault`. */
export function readDocument(document: JsonObject): ApiDocument {
  const resolve = createResolve(document);
  const operations: ApiOperation[] = [];
  for (const [path, written] of Object.entries(objectOf(document['paths']))) {
    const item = resolve(written);
    if (!isObject(item) || !path.startsWith('/')) continue;
    for (const method of METHODS) {
      const operation = own(item, method);
      if (isObject(operation)) operations.push(readOperation({ document, resolve, item }, path, method, operation));
    }
  }
  const info = objectOf(document['info']);
  return { title: textOf(info['title']), version: textOf(info['version']), operations, resolve };
}

interface Place {
  document: JsonObject;
  resolve: ApiDocument['resolve'];
  item: JsonObject;
}

function readOperation(place: Place, path: string, method: string, operation: JsonObject): ApiOperation {
  const { document, resolve, item } = place;
  const isOld = typeof document['swagger'] === 'string';
  // Those of the operation stand for those of the path with the same name and location.
  const written = [...listOf(item['parameters']), ...listOf(operation['parameters'])].map(resolve).filter(isObject);
  const parameters = new Map<string, ApiParameter>();
  for (const parameter of written) {
    const read = readParameter(parameter, isOld);
    if (read !== undefined) parameters.set(`${read.in} ${read.name}`, read);
  }
  for (const name of namesInPath(path)) {
    const key = `path ${name}`;
    // It cannot be left out, whether the document says so or not.
    if (!parameters.has(key)) parameters.set(key, { name, in: 'path', required: true, schema: true });
  }
  const security = own(operation, 'security') ?? own(document, 'security');
  const verb = method.toUpperCase();
  return {
    name: `${verb} ${path}`,
    operationId: textOf(operation['operationId']),
    method: verb,
    path,
    summary: textOf(operation['summary']),
    deprecated: operation['deprecated'] === true,
    // One empty requirement says that none is needed.
    secured:
      Array.isArray(security) && security.length > 0 && security.every((one) => Object.keys(objectOf(one)).length > 0),
    parameters: [...parameters.values()],
    body: isOld
      ? bodyOfParameters(written, consumesOf(operation, document))
      : bodyOf(resolve(operation['requestBody']), resolve),
    responses: responsesOf(operation, resolve, isOld),
  };
}

function readParameter(parameter: JsonObject, isOld: boolean): ApiParameter | undefined {
  const { name, in: where } = parameter;
  if (typeof name !== 'string' || name === '' || typeof where !== 'string' || !PLACES.has(where)) return undefined;
  const [inContent] = Object.values(objectOf(parameter['content']));
  const schema = isOld
    ? schemaOfOldParameter(parameter)
    : (parameter['schema'] ?? objectOf(inContent)['schema'] ?? true);
  return {
    name,
    in: where as ParameterPlace, // One of PLACES.
    required: where === 'path' || parameter['required'] === true,
    schema,
  };
}

function schemaOfOldParameter(parameter: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(parameter).filter(([key]) => !NOT_OF_THE_VALUE.has(key)));
}

function bodyOf(written: Json | undefined, resolve: ApiDocument['resolve']): ApiBody | undefined {
  if (!isObject(written)) return undefined;
  return { required: written['required'] === true, content: contentOf(written['content'], resolve) };
}

function contentOf(written: Json | undefined, resolve: ApiDocument['resolve']): Map<string, Json> {
  const content = new Map<string, Json>();
  for (const [type, media] of Object.entries(objectOf(written))) {
    content.set(mediaType(type), objectOf(resolve(media))['schema'] ?? true);
  }
  return content;
}

/** Swagger 2.0: a body is a parameter, or all fields of a form together. */
function bodyOfParameters(parameters: readonly JsonObject[], consumes: readonly string[]): ApiBody | undefined {
  const body = parameters.findLast((parameter) => parameter['in'] === 'body');
  if (body !== undefined) {
    const types = consumes.length === 0 ? [JSON_TYPE] : consumes;
    return {
      required: body['required'] === true,
      content: new Map(types.map((type) => [type, body['schema'] ?? true])),
    };
  }
  const fields = parameters.filter((parameter) => parameter['in'] === 'formData');
  if (fields.length === 0) return undefined;
  const required = fields.filter((field) => field['required'] === true).map((field) => String(field['name']));
  const schema: JsonObject = {
    type: 'object',
    properties: Object.fromEntries(fields.map((field) => [String(field['name']), schemaOfOldParameter(field)])),
    required,
  };
  const types = consumes.length === 0 ? [FORM] : consumes;
  return { required: required.length > 0, content: new Map(types.map((type) => [type, schema])) };
}

function consumesOf(operation: JsonObject, document: JsonObject): string[] {
  return listOf(operation['consumes'] ?? document['consumes']).flatMap((type) =>
    typeof type === 'string' ? [mediaType(type)] : [],
  );
}

function responsesOf(
  operation: JsonObject,
  resolve: ApiDocument['resolve'],
  isOld: boolean,
): Map<string, ReadonlyMap<string, Json>> {
  const responses = new Map<string, ReadonlyMap<string, Json>>();
  for (const [status, written] of Object.entries(objectOf(operation['responses']))) {
    const response = resolve(written);
    if (!isObject(response) || status.startsWith('x-')) continue;
    const { schema } = response;
    const old = new Map<string, Json>(schema === undefined ? [] : [[JSON_TYPE, schema]]);
    responses.set(status.toUpperCase(), isOld ? old : contentOf(response['content'], resolve));
  }
  return responses;
}

/** The names in braces, in their order. */
export function namesInPath(path: string): string[] {
  return [...path.matchAll(/\{([^{}/]+)\}/g)].map(([, name = '']) => name);
}

function createResolve(document: JsonObject): ApiDocument['resolve'] {
  return (value) => {
    let at = value;
    for (let followed = 0; isObject(at) && typeof at['$ref'] === 'string'; followed += 1) {
      if (followed === MAX_REFERENCES) return undefined;
      at = find(document, at['$ref']);
    }
    return at;
  };
}

/** A JSON Pointer (RFC 6901) as the fragment of a reference; own properties only. */
function find(document: JsonObject, reference: string): Json | undefined {
  if (!reference.startsWith('#/')) return undefined;
  let at: Json | undefined = document;
  for (const part of reference.slice(2).split('/')) {
    const key = percentDecoded(part).replaceAll('~1', '/').replaceAll('~0', '~');
    at = isObject(at) ? own(at, key) : Array.isArray(at) && /^\d{1,9}$/.test(key) ? at[Number(key)] : undefined;
  }
  return at;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function mediaType(text: string): string {
  return (text.split(';')[0] ?? '').trim().toLowerCase();
}

function own(value: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
