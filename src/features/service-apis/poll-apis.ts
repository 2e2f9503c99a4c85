/**
 * The OpenAPI documents of services. The newest one of each is stored; what a document says is compared to the one before
 * when it comes, and calls of its operations are made by the newest.
 */

import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import type { CallInputs, OperationCall } from '../../domain/service-operation.ts';
import { serviceKey } from '../../domain/service-rate.ts';
import type { Checks } from '../../domain/texts/checks.ts';
import { requestHash } from '../../engine/accept/request-hash.ts';
import { type TextChecker, withChecks } from '../../engine/accept/with-checks.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { guardJson } from '../../schemas/json-guard.ts';
import { didYouMean } from '../../schemas/nearest.ts';
import type { ServiceStore } from '../services/ports.ts';
import { findService, listServices } from '../services/registry.ts';
import { type ApiDrift, driftOf, NO_DRIFT } from './api-drift.ts';
import { type ApiDocument, documentFault, readDocument } from './openapi-document.ts';
import { type CallableOperation, callable, prepareCall } from './operation-call.ts';
import type { DriftCause, NewDocument, ServiceApiStore, StoredDocument, StoredDrift } from './ports.ts';

/** What became of a document that came. */
export interface Polled extends ApiDrift {
  service: string;
  /** Another document than before. */
  isNew: boolean;
  hash: string;
  operations: number;
}

export type Prepared =
  | { is: 'call'; call: OperationCall }
  /** In words. */
  | { is: 'unknown'; message: string }
  | { is: 'unfit'; faults: FieldFault[] };

/** Where the document of a service is. */
export interface DocumentSource {
  name: string;
  url: string;
  /** At the origin of the service itself. */
  besideService: boolean;
  /** That is one that the configuration names. */
  trusted: boolean;
}

export interface ServiceApis {
  source(tenantId: string, name: string): Promise<DocumentSource | undefined>;
  /** Names of all services there are. */
  names(tenantId: string): Promise<string[]>;
  /** `cause`: the calling task; a repeated call gets the same answer. */
  store(tenantId: string, service: string, from: DriftCause & { url: string }, document: Json): Promise<Polled>;
  prepare(tenantId: string, service: string, operationId: string, inputs: CallInputs): Promise<Prepared>;
}

/** For the API; 404 for an unknown service, or one without a document. */
export interface ServiceApiReader {
  document(caller: Caller, name: string): Promise<StoredDocument & { operations: number }>;
  /** By what names them in a call. */
  operations(caller: Caller, name: string): Promise<{ service: string; operations: Map<string, CallableOperation> }>;
  drifts(caller: Caller, name: string, limit: number): Promise<{ service: string; drifts: StoredDrift[] }>;
}

export interface ServiceApiDeps {
  store: ServiceApiStore;
  services: Pick<ServiceStore, 'find' | 'list'>;
  /** By their keys (`serviceKey`). */
  configured: ReadonlyMap<string, string>;
  texts: TextChecker;
}

const DEFAULT_PATH = '/openapi.json';
/** Of polls of one service at the same time: all but one find another document than they compared to. */
const TRIES = 5;
/** Of a document. What else they require is for the service to check. */
const MAX_PATTERNS = 1_000;

export function createServiceApis({ store, services, configured, texts }: ServiceApiDeps): ServiceApis {
  /** A check that takes too long lets the call through: the service itself says what it does not take. */
  async function prepareChecked(tenantId: string, operation: CallableOperation, inputs: CallInputs) {
    try {
      return await withChecks(texts, tenantId, ({ valueFaults }) => prepareCall(operation, inputs, valueFaults));
    } catch (error) {
      if (!(error instanceof OrchestratorError) || error.code !== 'expression_timeout') throw error;
      return prepareCall(operation, inputs, () => []);
    }
  }

  return {
    async source(tenantId, name) {
      const found = await findService(services, configured, tenantId, name);
      if (found === undefined) return undefined;
      const url = found.openapiUrl ?? `${found.baseUrl}${DEFAULT_PATH}`;
      const besideService = new URL(url).origin === new URL(found.baseUrl).origin;
      return { name: found.name, url, besideService, trusted: besideService && found.source === 'configuration' };
    },
    async names(tenantId) {
      return (await listServices(services, configured, tenantId)).map(({ name }) => name);
    },
    async store(tenantId, service, { url, ...from }, document) {
      const read = readAll(document);
      const before = await store.driftOf(tenantId, service, from.cause);
      if (before !== undefined) return polledBefore(service, before);
      const made: NewDocument = {
        url,
        hash: requestHash(read.document),
        title: read.api.title,
        version: read.api.version,
        document: read.document,
        operations: await withChecks(texts, tenantId, (checks) => byId(read.api, fewPatterns(checks))),
      };
      for (let tries = 0; tries < TRIES; tries += 1) {
        const stored = await store.document(tenantId, service);
        const operations = Object.keys(made.operations).length;
        if (stored?.hash === made.hash) {
          if (!(await store.unchanged(tenantId, service, made.hash, url))) continue;
          return { service, isNew: false, hash: made.hash, operations, ...NO_DRIFT };
        }
        const drift = stored === undefined ? allNew(read.api) : driftOf(readDocument(stored.document), read.api);
        if (
          await store.replace(tenantId, service, { ...made, fromHash: stored?.hash ?? null }, { ...drift, ...from })
        ) {
          return { service, isNew: true, hash: made.hash, operations, ...drift };
        }
      }
      throw new OrchestratorError('unavailable', `The document of '${service}' is being changed by others`);
    },
    async prepare(tenantId, name, operationId, inputs) {
      const service = canonicalName(configured, name);
      const found = await store.operation(tenantId, service, operationId);
      if (found === undefined) {
        const message = `of the service '${service}' no OpenAPI document is known: poll it first`;
        return { is: 'unknown', message };
      }
      if (found.operation === undefined) {
        const ids = (await store.operationIds(tenantId, service)) ?? [];
        return { is: 'unknown', message: unknownOperation(service, operationId, ids) };
      }
      const prepared = await prepareChecked(tenantId, found.operation, inputs);
      return prepared.ok ? { is: 'call', call: prepared.call } : { is: 'unfit', faults: prepared.faults };
    },
  };
}

export function createServiceApiReader({
  store,
  services,
  configured,
}: Omit<ServiceApiDeps, 'texts'>): ServiceApiReader {
  async function nameOf({ tenantId }: Caller, name: string): Promise<string> {
    const found = await findService(services, configured, tenantId, name);
    if (found === undefined) throw new OrchestratorError('not_found', 'Service not found');
    return found.name;
  }
  const noDocument = () => new OrchestratorError('not_found', 'OpenAPI document not found');
  return {
    async document(caller, name) {
      const service = await nameOf(caller, name);
      const found = await store.document(caller.tenantId, service);
      if (found === undefined) throw noDocument();
      return { ...found, operations: readDocument(found.document).operations.length };
    },
    async operations(caller, name) {
      const service = await nameOf(caller, name);
      const found = await store.operations(caller.tenantId, service);
      if (found === undefined) throw noDocument();
      return { service, operations: new Map(Object.entries(found)) };
    },
    async drifts(caller, name, limit) {
      const service = await nameOf(caller, name);
      return { service, drifts: await store.drifts(caller.tenantId, service, limit) };
    },
  };
}

/** What a service is called whose name the configuration spells otherwise. */
export function canonicalName(configured: ReadonlyMap<string, string>, name: string): string {
  return configured.has(serviceKey(name)) ? serviceKey(name) : name;
}

export function unknownOperation(service: string, operationId: string, operationIds: readonly string[]): string {
  return `the service '${service}' has no operation '${operationId}'${didYouMean(operationId, operationIds)}`;
}

function readAll(document: Json): { document: JsonObject; api: ApiDocument } {
  const [fault] = guardJson(document);
  const why = fault === undefined ? documentFault(document) : `${fault.path}: ${fault.message}`;
  if (why !== undefined) throw new OrchestratorError('upstream_rejected', `this is no OpenAPI document: it ${why}`);
  const checked = document as JsonObject; // `documentFault` has seen that it is an object.
  return { document: checked, api: readDocument(checked) };
}

/** By operationId; by method and path where there is none, or where it is not the only one. */
function byId(
  { operations, resolve }: ApiDocument,
  checks: Pick<Checks, 'patternFault'>,
): Record<string, CallableOperation> {
  const uses = new Map<string, number>();
  for (const { operationId: id = '' } of operations) uses.set(id, (uses.get(id) ?? 0) + 1);
  const isOwn = (id: string | undefined): id is string => id !== undefined && uses.get(id) === 1;
  return Object.fromEntries(
    operations.map((operation) => [
      isOwn(operation.operationId) ? operation.operationId : operation.name,
      callable(operation, resolve, checks),
    ]),
  );
}

function fewPatterns({ patternFault }: Checks): Pick<Checks, 'patternFault'> {
  const patterns = new Set<string>();
  return {
    patternFault(pattern) {
      if (patterns.size >= MAX_PATTERNS && !patterns.has(pattern)) return 'is one too many';
      patterns.add(pattern);
      return patternFault(pattern);
    },
  };
}

function allNew({ operations }: ApiDocument): ApiDrift {
  return { ...NO_DRIFT, added: operations.map(({ name }) => name).sort() };
}

function polledBefore(service: string, drift: StoredDrift): Polled {
  const { hash, operations, added, removed, changed, breaking } = drift;
  return { service, isNew: true, hash, operations, added, removed, changed, breaking };
}
