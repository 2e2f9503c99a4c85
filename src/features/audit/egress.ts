/** What the outbound policy denied, for the audit: whose it was and where it was to go, never what is there. */
import { type AuditEvent, NOBODYS_CHAIN } from '../../engine/ports/audit.ts';

export interface DeniedRequest {
  /** The class of the reason. */
  refusal: string;
  /** Undefined: the service itself made it. */
  tenantId: string | undefined;
  host: string;
  scheme: string;
  method: string;
  redirected: boolean;
  /** The idempotency key of the task that made it: execution, epoch and action. */
  source: string | undefined;
}

export function deniedRequest(denied: DeniedRequest): AuditEvent {
  const { refusal, tenantId, host, scheme, method, redirected, source } = denied;
  return {
    tenant_id: tenantId ?? NOBODYS_CHAIN,
    actor: 'orchestrator',
    means: 'none',
    credential: null,
    action: 'egress.denied',
    permission: null,
    resource_type: 'host',
    resource_id: host,
    address: null,
    user_agent: null,
    decision: 'denied',
    reason: refusal,
    status: null,
    request_id: null,
    trace_id: null,
    details: { scheme, method, redirected, ...(source === undefined ? {} : { task: source }) },
  };
}
