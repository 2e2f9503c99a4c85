/** What the OpenAPI documents of services need of their store. */

import type { JsonObject } from '../../schemas/json.ts';
import type { ApiDrift } from './api-drift.ts';
import type { CallableOperation } from './operation-call.ts';

export interface StoredDocument {
  service: string;
  url: string;
  hash: string;
  title: string | null;
  version: string | null;
  fetchedAt: Date;
  changedAt: Date;
  document: JsonObject;
}

export interface StoredDrift extends ApiDrift {
  /** Null: there was no document before. */
  fromHash: string | null;
  hash: string;
  /** How many there are then. */
  operations: number;
  at: Date;
}

export interface DriftCause {
  /** The idempotency key of the task. */
  cause: string;
  runId: string;
  correlationId: string | undefined;
  traceId: string | undefined;
}

export interface NewDocument {
  url: string;
  hash: string;
  title: string | undefined;
  version: string | undefined;
  document: JsonObject;
  operations: Readonly<Record<string, CallableOperation>>;
}

export interface ServiceApiStore {
  document(tenantId: string, service: string): Promise<StoredDocument | undefined>;
  /** Of the newest document, by what names them in a call; undefined: there is none. */
  operations(tenantId: string, service: string): Promise<Record<string, CallableOperation> | undefined>;
  /** `operation` is undefined when the newest document has none of that id. */
  operation(
    tenantId: string,
    service: string,
    id: string,
  ): Promise<{ operation: CallableOperation | undefined } | undefined>;
  /** What names an operation in the newest document. */
  operationIds(tenantId: string, service: string): Promise<string[] | undefined>;
  /** Newest first. */
  drifts(tenantId: string, service: string, limit: number): Promise<StoredDrift[]>;
  /** What this cause has found before. */
  driftOf(tenantId: string, service: string, cause: string): Promise<StoredDrift | undefined>;
  /** Fetched again and found unchanged; false: it is not that document any more. */
  unchanged(tenantId: string, service: string, hash: string, url: string): Promise<boolean>;
  /**
   * In one transaction with its drift and the event about it (a first document is none), and only while the stored document is still the one with `fromHash` (null: none);
   * false: it is not.
   */
  replace(
    tenantId: string,
    service: string,
    document: NewDocument & { fromHash: string | null },
    drift: ApiDrift & DriftCause,
  ): Promise<boolean>;
}
