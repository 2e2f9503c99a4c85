/** The entry of a session in the audit: written once, although its step may be delivered again. */
import type { AuditEvent, AuditStore } from '../../engine/ports/audit.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

const LOOKED_AT = 20;

export interface AuditedSession {
  auditId: string;
  tenantId: string;
  /** Who started it. */
  userId: string;
  runId: string;
  sessionId: string;
  status: string;
  decision: JsonObject;
  token: Json;
  job: Json;
}

export type WriteSessionAudit = (session: AuditedSession) => Promise<void>;

export function createSessionAudit(store: Pick<AuditStore, 'append' | 'list'>): WriteSessionAudit {
  return async (session) => {
    const event = eventOf(session);
    const { tenant_id: tenantId, action, resource_id: resource } = event;
    const filter = { action, resource: resource ?? undefined };
    const { entries } = await store.list(tenantId, filter, { limit: LOOKED_AT, before: undefined });
    if (entries.some(({ details }) => details['audit_id'] === session.auditId)) return;
    await store.append([event]);
  };
}

function eventOf({
  auditId,
  tenantId,
  userId,
  runId,
  sessionId,
  status,
  decision,
  token,
  job,
}: AuditedSession): AuditEvent {
  const { allowed = null, score = null, severity = null, failed_open: failedOpen } = decision;
  return {
    tenant_id: tenantId,
    actor: userId,
    means: 'none',
    credential: null,
    action: `session.${status}`,
    permission: null,
    resource_type: 'session',
    resource_id: sessionId,
    address: null,
    user_agent: null,
    decision: status === 'rejected' ? 'denied' : 'allowed',
    reason: null,
    status: null,
    request_id: null,
    trace_id: null,
    details: {
      audit_id: auditId,
      execution_id: runId,
      status,
      policy: { allowed, score, severity, ...(failedOpen === undefined ? {} : { failed_open: failedOpen }) },
      token,
      ...(job === null ? {} : { volcano_job: job }),
    },
  };
}
