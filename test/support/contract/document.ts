/** The committed OpenAPI document, and the validation of values by the schemas in it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';
import { projectRoot } from '../../../src/project-root.ts';

export interface ResponseObject {
  $ref?: string;
  content?: Record<string, MediaType>;
}
export interface MediaType {
  schema?: object;
  'x-events'?: Record<string, { $ref: string }>;
  example?: unknown;
  examples?: Record<string, { $ref?: string; value?: unknown }>;
}
export interface OperationObject {
  operationId: string;
  security?: Array<Record<string, string[]>>;
  parameters?: Array<{ name: string; required?: boolean; schema: object; example?: unknown }>;
  requestBody?: { content: Record<string, MediaType> };
  responses: Record<string, ResponseObject>;
  'x-websocket'?: { messages: { $ref: string } };
}
export interface ApiDocument {
  paths: Record<string, Record<string, OperationObject>>;
  security: Array<Record<string, string[]>>;
  components: { securitySchemes: Record<string, object> };
  /** What is answered where nothing is served, or the request could not be read. */
  'x-responses-of-no-operation': Record<string, ResponseObject>;
  [key: string]: unknown;
}

const ROOT = 'openapi';

export function readContract(name = 'openapi.yaml'): ApiDocument {
  return parse(readFileSync(path.join(projectRoot(), 'contracts', name), 'utf8')) as ApiDocument; // Our own file.
}

/** What is wrong with a value, by the schema at a pointer into the document (`#/components/schemas/Problem`). */
export type FaultsAt = (pointer: string, value: unknown) => ErrorObject[];

export function createFaultsAt(document: ApiDocument): FaultsAt {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true });
  // It is called like this only where modules are of CommonJS.
  (addFormats as unknown as (to: Ajv2020) => void)(ajv);
  ajv.addSchema(document, ROOT);
  const validators = new Map<string, ValidateFunction>();
  return (pointer, value) => {
    const validate = validators.get(pointer) ?? ajv.compile({ $ref: `${ROOT}${pointer}` });
    validators.set(pointer, validate);
    return validate(value) ? [] : (validate.errors ?? []);
  };
}

/** Follows a reference within the document; anything else is returned with the pointer to it. */
export function resolved<T extends object>(
  document: ApiDocument,
  written: T,
  pointer: string,
): { value: T; pointer: string } {
  const { $ref } = written as { $ref?: string };
  if ($ref === undefined) return { value: written, pointer };
  const value = $ref
    .slice(2)
    .split('/')
    .reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[unescaped(step)], document);
  if (typeof value !== 'object' || value === null) throw new Error(`${$ref} leads nowhere`);
  return resolved(document, value as T, $ref);
}

/** One step of a JSON pointer in a fragment. */
export function step(text: string): string {
  return encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function unescaped(text: string): string {
  return decodeURIComponent(text).replaceAll('~1', '/').replaceAll('~0', '~');
}

export function wordsOf(faults: readonly ErrorObject[]): string {
  return faults
    .slice(0, 6)
    .map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`)
    .join('; ');
}
