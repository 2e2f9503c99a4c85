/**
 * The entry of a session in the audit: written once, although its step may be delivered again, and with it the message for
 * those who follow the audit from outside.
 */
import type { AuditEvent, AuditStore } from '../../engine/ports/audit.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

const LOOKED_AT = 20;
/** Of the logs of a job, in the message. */
const MAX_LOG_CHARACTERS = 2_048;

export interface AuditedSession {
  auditId: string;
  tenantId: string;
  /** Who started it. */
  userId: string;
  /** Whose session it is, as it was requested. */
  tenant: string;
  user: string;
  runId: string;
  sessionId: string;
  status: string;
  decision: JsonObject;
  token: Json;
  job: Json;
}

export type WriteSessionAudit = (session: AuditedSession) => Promise<void>;

export interface SessionAuditStore extends Pick<AuditStore, 'list'> {
  /** Both or neither; without a transport there is only the entry. */
  write(entry: AuditEvent, message: JsonObject): Promise<void>;
}

export function createSessionAudit(store: SessionAuditStore, now: () => Date): WriteSessionAudit {
  return async (session) => {
    const event = eventOf(session);
    const { tenant_id: tenantId, action, resource_id: resource } = event;
    const filter = { action, resource: resource ?? undefined };
    const { entries } = await store.list(tenantId, filter, { limit: LOOKED_AT, before: undefined });
    if (entries.some(({ details }) => details['audit_id'] === session.auditId)) return;
    await store.write(event, messageOf(session, now()));
  };
}

/** As the older orchestrator of sessions published it. */
function messageOf(session: AuditedSession, now: Date): JsonObject {
  const { auditId, tenant, user, runId, sessionId, status, decision, token, job } = session;
  return {
    ...{ audit_id: auditId, emitted_at: now.toISOString(), session_id: sessionId, tenant, user },
    ...{ execution_id: runId, status: status === 'rejected' ? 'rejected' : 'accepted', policy: decision, token },
    volcano_job: shortened(job),
  };
}

function shortened(job: Json): Json {
  if (typeof job !== 'object' || job === null || Array.isArray(job)) return job;
  const { logs } = job;
  return typeof logs === 'string' ? { ...job, logs: logs.slice(0, MAX_LOG_CHARACTERS) } : job;
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
