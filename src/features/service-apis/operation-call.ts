/**
 * A call of an operation by its name: each input goes where the document says, and is checked before anything is sent.
 * A name goes to the parameter of that name; to the body go the fields that the body names, and all that is no parameter.
 */

import type { FieldFault } from '../../domain/errors.ts';
import type { CallInputs, OperationCall } from '../../domain/service-operation.ts';
import type { Checks } from '../../domain/texts/checks.ts';
import { isObject } from '../../domain/texts/json-changes.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { checkableSchema } from './checkable-schema.ts';
import type { ApiDocument, ApiOperation, ParameterPlace } from './openapi-document.ts';
import { FORM } from './openapi-document.ts';

/** As it is stored beside the document: all that a call needs, its schemas ready to check. */
export interface CallableOperation {
  /** `GET /documents/{id}` */
  name: string;
  operation_id: string | null;
  method: string;
  path: string;
  summary: string | null;
  deprecated: boolean;
  parameters: Array<{ name: string; in: ParameterPlace; required: boolean; schema: Json }>;
  body: { required: boolean; media_type: string; schema: Json } | null;
}

export type PreparedCall = { ok: true; call: OperationCall } | { ok: false; faults: FieldFault[] };

export type CheckSchema = Checks['valueFaults'];

/** As `parameters` this is the entire body, where neither a parameter nor a field of the body is called so. */
const WHOLE_BODY = 'body';

export function callable(
  operation: ApiOperation,
  resolve: ApiDocument['resolve'],
  checks: Pick<Checks, 'patternFault'>,
): CallableOperation {
  const { name, operationId, method, path, summary, deprecated, parameters, body } = operation;
  const mediaType = body === undefined ? undefined : preferred([...body.content.keys()]);
  return {
    name,
    operation_id: operationId ?? null,
    method,
    path,
    summary: summary ?? null,
    deprecated,
    parameters: parameters.map((parameter) => ({
      name: parameter.name,
      in: parameter.in,
      required: parameter.required,
      schema: checkableSchema(parameter.schema, resolve, checks),
    })),
    body:
      body === undefined
        ? null
        : {
            required: body.required,
            media_type: mediaType ?? 'application/json',
            schema: checkableSchema(body.content.get(mediaType ?? ''), resolve, checks),
          },
  };
}

/** JSON before all others: every input can be expressed in it. */
function preferred(types: readonly string[]): string | undefined {
  const rank = (type: string) => (type === 'application/json' ? 0 : isJson(type) ? 1 : type === FORM ? 2 : 3);
  return [...types].sort((one, other) => rank(one) - rank(other))[0];
}

function isJson(type: string): boolean {
  return type === 'application/json' || type.endsWith('+json') || type === '*/*' || type === 'application/*';
}

export function prepareCall(operation: CallableOperation, inputs: CallInputs, check: CheckSchema): PreparedCall {
  const faults: FieldFault[] = [];
  const parameters = isObject(inputs.parameters) ? inputs.parameters : {};
  const names = new Set(operation.parameters.map(({ name }) => name));
  const rest = Object.fromEntries(
    Object.entries(parameters).filter(([name]) => !names.has(name) || isField(operation.body?.schema, name)),
  );
  const call: OperationCall = {
    method: operation.method,
    path: operation.path,
    query: {},
    headers: {},
    body: undefined,
  };

  for (const parameter of operation.parameters) {
    const value = own(parameters, parameter.name);
    const at = `parameters.${parameter.name}`;
    if (value === undefined || (value === null && parameter.in !== 'path')) {
      if (parameter.required && !isSetElsewhere(parameter, inputs)) faults.push({ path: at, message: 'is required' });
      continue;
    }
    faults.push(...check(parameter.schema, asTyped(parameter.schema, value)).map((fault) => under(at, fault)));
    faults.push(...place(call, parameter, value, at));
  }
  if (operation.body === null) faults.push(...unknownFields(operation, rest, inputs.parameters));
  else faults.push(...placeBody(call, operation.body, { rest, given: inputs.parameters }, check));
  return faults.length > 0 ? { ok: false, faults } : { ok: true, call };
}

function isSetElsewhere({ in: where, name }: { in: ParameterPlace; name: string }, inputs: CallInputs): boolean {
  if (where === 'query') return own(inputs.query ?? {}, name) !== undefined;
  const header = name.toLowerCase();
  return where === 'header' && Object.keys(inputs.headers).some((given) => given.toLowerCase() === header);
}

function place(
  call: OperationCall,
  { in: where, name }: { in: ParameterPlace; name: string },
  value: Json,
  at: string,
): FieldFault[] {
  if (where === 'query') call.query[name] = value;
  else if (isObject(value) || Array.isArray(value))
    return [{ path: at, message: `must be a single value in a ${where}` }];
  else if (where === 'header') call.headers[name.toLowerCase()] = String(value);
  else if (where === 'cookie')
    call.headers['cookie'] = [call.headers['cookie'], `${name}=${encodeURIComponent(String(value))}`]
      .filter(Boolean)
      .join('; ');
  else {
    const text = String(value);
    // Another path would be meant by them.
    if (value === null || text === '' || text === '.' || text === '..') {
      return [{ path: at, message: `cannot be ${JSON.stringify(value)} in a path` }];
    }
    call.path = call.path.replaceAll(`{${name}}`, () => encodeURIComponent(text));
  }
  return [];
}

function unknownFields(
  { name, parameters }: CallableOperation,
  rest: JsonObject,
  given: Json | undefined,
): FieldFault[] {
  const known = parameters.map((parameter) => parameter.name).join(', ') || 'none';
  if (given !== undefined && given !== null && !isObject(given)) {
    return [{ path: 'parameters', message: `must be an object: ${name} takes no body` }];
  }
  return Object.keys(rest).map((key) => ({
    path: `parameters.${key}`,
    message: `${name} takes no such parameter; it takes ${known}`,
  }));
}

function placeBody(
  call: OperationCall,
  body: NonNullable<CallableOperation['body']>,
  { rest, given }: { rest: JsonObject; given: Json | undefined },
  check: CheckSchema,
): FieldFault[] {
  const only = Object.keys(rest).length === 1 ? own(rest, WHOLE_BODY) : undefined;
  const isWholeBody = only !== undefined && !isField(body.schema, WHOLE_BODY);
  const isNone = given === undefined || given === null || (isObject(given) && Object.keys(rest).length === 0);
  if (isNone && !body.required) return [];
  const value = isWholeBody ? only : given === undefined || given === null || isObject(given) ? rest : given;
  const at = isWholeBody ? `parameters.${WHOLE_BODY}` : 'parameters';
  const faults = check(body.schema, value).map((fault) => under(at, fault));
  const text = textOfBody(body.media_type, value);
  if (text === undefined) faults.push({ path: at, message: `cannot be sent as ${body.media_type}` });
  else call.body = { mediaType: body.media_type.includes('*') ? 'application/json' : body.media_type, text };
  return faults;
}

function textOfBody(mediaType: string, value: Json): string | undefined {
  if (isJson(mediaType)) return JSON.stringify(value);
  if (mediaType.startsWith('text/') && typeof value === 'string') return value;
  if (mediaType !== FORM || !isObject(value)) return undefined;
  const form = Object.entries(value).flatMap(([name, field]) =>
    (Array.isArray(field) ? field : [field]).map((one) => [
      name,
      isObject(one) || Array.isArray(one) ? JSON.stringify(one) : String(one),
    ]),
  );
  return form.map(([name = '', field = '']) => `${encodeURIComponent(name)}=${encodeURIComponent(field)}`).join('&');
}

/** In a URL or header everything is text, so a text that says a number is one. */
function asTyped(schema: Json, value: Json): Json {
  if (Array.isArray(value))
    return value.map((item) => asTyped(isObject(schema) ? (schema['items'] ?? true) : true, item));
  if (typeof value !== 'string' || !isObject(schema)) return typeof value === 'object' ? value : asText(schema, value);
  const types = Array.isArray(schema['type']) ? schema['type'] : [schema['type'] ?? 'string'];
  if (types.includes('string')) return value;
  if ((types.includes('integer') || types.includes('number')) && /^-?\d+(?:\.\d+)?$/.test(value)) return Number(value);
  if (types.includes('boolean') && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}

/** A number is also valid for a string. */
function asText(schema: Json, value: Json): Json {
  return isObject(schema) && schema['type'] === 'string' && value !== null ? String(value) : value;
}

function isField(schema: Json | undefined, name: string): boolean {
  if (!isObject(schema)) return false;
  if (isObject(schema['properties']) && Object.hasOwn(schema['properties'], name)) return true;
  return Array.isArray(schema['allOf']) && schema['allOf'].some((part) => isField(part, name));
}

function own(value: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function under(path: string, fault: FieldFault): FieldFault {
  return { path: fault.path === '' ? path : `${path}.${fault.path}`, message: fault.message };
}
