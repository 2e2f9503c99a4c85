/** The audit: the log of who did what, and its store. docs/decisions/0047 has why. */
import type { AUDIT_DECISIONS } from '../../schemas/audit-decisions.ts';
import type { Json } from '../../schemas/json.ts';

export type AuditDecision = (typeof AUDIT_DECISIONS)[number];

/** The chain of what belongs to no tenant: requests of unknown callers. No tenant can be called that. */
export const NOBODYS_CHAIN = '';

export interface AuditEvent {
  tenant_id: string;
  actor: string;
  means: string;
  /** The id or prefix of the credentials; never they themselves. */
  credential: string | null;
  action: string;
  permission: string | null;
  resource_type: string | null;
  resource_id: string | null;
  address: string | null;
  user_agent: string | null;
  decision: AuditDecision;
  /** The code of the error. */
  reason: string | null;
  status: number | null;
  request_id: string | null;
  trace_id: string | null;
  details: Record<string, Json>;
}

/** All that the hash covers. */
export interface AuditContent extends AuditEvent {
  seq: number;
  /** ISO 8601 with milliseconds; the database's clock. */
  at: string;
}

export interface AuditEntry extends AuditContent {
  /** Hex. */
  hash: string;
}

export interface AuditHead {
  tenant_id: string;
  seq: number;
  hash: string;
}

export interface AuditChain extends AuditHead {
  pruned_seq: number;
  pruned_hash: string;
}

export interface AuditFilter {
  from?: Date | undefined;
  to?: Date | undefined;
  actor?: string | undefined;
  action?: string | undefined;
  resource?: string | undefined;
  decision?: AuditDecision | undefined;
}

export interface AuditReader {
  /** Newest first, those before `before`. */
  list(
    tenantId: string,
    filter: AuditFilter,
    window: { limit: number; before: number | undefined },
  ): Promise<{ entries: AuditEntry[]; more: boolean }>;
}

export interface AuditStore extends AuditReader {
  /** In order, all or none; the new heads of their chains. */
  append(events: readonly AuditEvent[]): Promise<AuditHead[]>;
  /** In the order of their tenants, those behind `after`. */
  chains(after: string | undefined, limit: number): Promise<AuditChain[]>;
  /** In order, those behind `after`. */
  entries(tenantId: string, after: number, limit: number): Promise<AuditEntry[]>;
  /** Removes what is older, from the start of chains; the entries removed, at most about `limit`. */
  prune(olderThanDays: number, limit: number): Promise<number>;
}

/** What the API and the engine report to the audit. */
export interface Audit {
  /** Resolves when it is written, or when waiting for that has taken too long: it is still written then. */
  write(event: AuditEvent): Promise<void>;
  /** Written within a second. */
  note(event: AuditEvent): void;
  /** Of a flood of them only the first is written at once; the others are counted. */
  denied(event: AuditEvent): void;
}
