/** Documents and reports of the service itself, where the older platform had services for them. */

import type { JsonObject } from '../../schemas/json.ts';
import type { PlatformEvent, RunReport } from './run-report.ts';

export interface NewDocument {
  id: string;
  content: string;
  contentHash: string;
  metadata: JsonObject | undefined;
  runId: string;
}

export interface SavedDocument {
  id: string;
  contentHash: string;
  createdAt: Date;
}

export interface StoredDocument extends SavedDocument {
  content: string;
  metadata: JsonObject | null;
  updatedAt: Date;
}

export interface DocumentStore {
  /** Again replaces. Undefined: there are as many as there may be. */
  save(tenantId: string, document: NewDocument): Promise<SavedDocument | undefined>;
  find(tenantId: string, id: string): Promise<StoredDocument | undefined>;
}

export interface ReportReader {
  /** How the newest runs stand or ended, without the one that reads them. */
  statuses(tenantId: string, callerRunId: string): Promise<string[]>;
  /** Newest first. */
  events(tenantId: string, callerRunId: string): Promise<PlatformEvent[]>;
}

/** What the adapters get of it, bound to their task. */
export interface PlatformAccess {
  saveDocument(document: {
    id: string | undefined;
    content: string;
    metadata: JsonObject | undefined;
  }): Promise<{ id: string; content_hash: string; created_at: string }>;
  reportRuns(log: LogQuery): Promise<RunReport>;
}

declare module '../../../workers/adapter.ts' {
  interface EngineCapabilities {
    /** Documents and reports of the service itself, where no service for them is registered. */
    platform?: PlatformAccess;
  }
}

export interface LogQuery {
  limit: number;
  service: string | undefined;
  level: string | undefined;
}
