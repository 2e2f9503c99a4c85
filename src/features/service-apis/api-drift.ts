/** The drift of a service: which of its operations came, went or changed between two of its OpenAPI documents. */
import type { Json } from '../../schemas/json.ts';
import type { ApiBody, ApiDocument, ApiOperation, ApiParameter } from './openapi-document.ts';
import { createSchemaDrift, type SchemaChange, type SchemaDrift } from './schema-drift.ts';

export interface OperationChange {
  /** `query.page`, `body.title`, `response.200.id`; the operation itself is `operation`. */
  where: string;
  breaking: boolean;
  message: string;
}

export interface ChangedOperation {
  operation: string;
  breaking: boolean;
  changes: OperationChange[];
}

export interface ApiDrift {
  /** `GET /documents`, sorted. */
  added: string[];
  removed: string[];
  changed: ChangedOperation[];
  /** Whoever calls the service by its older document may fail. */
  breaking: boolean;
}

export const NO_DRIFT: ApiDrift = { added: [], removed: [], changed: [], breaking: false };

const MAX_CHANGES_OF_OPERATION = 50;

export function driftOf(before: ApiDocument, after: ApiDocument): ApiDrift {
  const was = byName(before);
  const is = byName(after);
  const schemas = createSchemaDrift(before.resolve, after.resolve);
  const added = [...is.keys()].filter((name) => !was.has(name)).sort();
  const removed = [...was.keys()].filter((name) => !is.has(name)).sort();
  const changed: ChangedOperation[] = [];
  for (const [operation, old] of was) {
    const now = is.get(operation);
    if (now === undefined) continue;
    const all = changesOf(old, now, schemas);
    if (all.length === 0) continue;
    // Of too many the breaking ones are reported.
    const changes = [...all.filter(({ breaking }) => breaking), ...all.filter(({ breaking }) => !breaking)];
    const breaking = all.some((change) => change.breaking);
    changed.push({ operation, breaking, changes: changes.slice(0, MAX_CHANGES_OF_OPERATION) });
  }
  changed.sort((one, other) => (one.operation < other.operation ? -1 : 1));
  return { added, removed, changed, breaking: removed.length > 0 || changed.some(({ breaking }) => breaking) };
}

function byName({ operations }: ApiDocument): Map<string, ApiOperation> {
  return new Map(operations.map((operation) => [operation.name, operation]));
}

function changesOf(was: ApiOperation, is: ApiOperation, schemas: SchemaDrift): OperationChange[] {
  return [
    ...ownChanges(was, is),
    ...parameterChanges(was, is, schemas),
    ...bodyChanges(was.body, is.body, schemas),
    ...responseChanges(was, is, schemas),
  ];
}

function ownChanges(was: ApiOperation, is: ApiOperation): OperationChange[] {
  const changes: OperationChange[] = [];
  const report = (breaking: boolean, message: string) => changes.push({ where: 'operation', breaking, message });
  if (was.operationId !== is.operationId && was.operationId !== undefined) {
    // Whoever names it by its id does not find it.
    report(true, `operationId was ${was.operationId} and is ${is.operationId ?? 'not said'}`);
  }
  if (!was.deprecated && is.deprecated) report(false, 'is deprecated now');
  if (!was.secured && is.secured) report(true, 'asks for credentials now');
  if (was.secured && !is.secured) report(false, 'asks for no credentials any more');
  return changes;
}

function parameterChanges(was: ApiOperation, is: ApiOperation, schemas: SchemaDrift): OperationChange[] {
  const key = ({ in: where, name }: ApiParameter) => `${where}.${name}`;
  const old = new Map(was.parameters.map((parameter) => [key(parameter), parameter]));
  const now = new Map(is.parameters.map((parameter) => [key(parameter), parameter]));
  const changes: OperationChange[] = [];
  for (const [where, parameter] of old) {
    const current = now.get(where);
    if (current === undefined) {
      changes.push({ where, breaking: true, message: 'is not there any more' });
      continue;
    }
    if (!parameter.required && current.required) changes.push({ where, breaking: true, message: 'is required now' });
    if (parameter.required && !current.required) changes.push({ where, breaking: false, message: 'is optional now' });
    changes.push(...under(where, schemas.compare(parameter.schema, current.schema, 'request')));
  }
  for (const [where, { required }] of now) {
    if (old.has(where)) continue;
    changes.push({ where, breaking: required, message: required ? 'is new and required' : 'is new' });
  }
  return changes;
}

function bodyChanges(was: ApiBody | undefined, is: ApiBody | undefined, schemas: SchemaDrift): OperationChange[] {
  const where = 'body';
  const asRequest: Compare = (before, now) => schemas.compare(before, now, 'request');
  if (was === undefined && is === undefined) return [];
  if (was === undefined) {
    const breaking = is?.required === true;
    return [{ where, breaking, message: breaking ? 'is new and required' : 'is new' }];
  }
  if (is === undefined) return [{ where, breaking: true, message: 'is not there any more' }];
  const changes: OperationChange[] = [];
  if (!was.required && is.required) changes.push({ where, breaking: true, message: 'is required now' });
  if (was.required && !is.required) changes.push({ where, breaking: false, message: 'is optional now' });
  return [...changes, ...mediaChanges(where, was.content, is.content, asRequest)];
}

function responseChanges(was: ApiOperation, is: ApiOperation, schemas: SchemaDrift): OperationChange[] {
  const changes: OperationChange[] = [];
  const asResponse: Compare = (before, now) => schemas.compare(before, now, 'response');
  for (const [status, content] of was.responses) {
    const where = `response.${status}`;
    const now = is.responses.get(status);
    if (now === undefined) changes.push({ where, breaking: true, message: 'is not there any more' });
    else changes.push(...mediaChanges(where, content, now, asResponse));
  }
  for (const status of is.responses.keys()) {
    if (!was.responses.has(status)) changes.push({ where: `response.${status}`, breaking: false, message: 'is new' });
  }
  return changes;
}

type Compare = (was: Json, is: Json) => SchemaChange[];

function mediaChanges(
  where: string,
  was: ReadonlyMap<string, Json>,
  is: ReadonlyMap<string, Json>,
  compare: Compare,
): OperationChange[] {
  const changes: OperationChange[] = [];
  for (const [type, schema] of was) {
    const now = is.get(type);
    if (now === undefined) changes.push({ where, breaking: true, message: `${type} is not there any more` });
    else changes.push(...under(where, compare(schema, now)));
  }
  for (const type of is.keys()) {
    // Where nothing was answered there is nothing to miss.
    if (!was.has(type)) changes.push({ where, breaking: false, message: `${type} is new` });
  }
  return changes;
}

function under(where: string, changes: readonly SchemaChange[]): OperationChange[] {
  return changes.map(({ field, breaking, message }) => ({
    where: field === '' ? where : `${where}.${field}`,
    breaking,
    message,
  }));
}
