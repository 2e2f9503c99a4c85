/** Audits denied upgrades to a socket, which have no answer that `auditRequests` could read. */
import type { IncomingMessage } from 'node:http';
import { type AuditEvent, NOBODYS_CHAIN } from '../../engine/ports/audit.ts';
import type { Identity } from '../auth/identify.ts';
import { plainAddress } from './client-address.ts';
import type { RequestContext } from './context.ts';

export interface DeniedUpgrade {
  request: IncomingMessage;
  context: Pick<RequestContext, 'requestId' | 'traceId'>;
  /** Undefined: it was denied before the authentication. */
  identity: Identity | undefined;
  address: string;
  taskId: string;
  status: 401 | 403;
}

export function deniedUpgrade({ request, context, identity, address, taskId, status }: DeniedUpgrade): AuditEvent {
  const identified = identity !== undefined && 'caller' in identity ? identity : undefined;
  return {
    tenant_id: identified?.caller.tenantId ?? NOBODYS_CHAIN,
    actor: identified?.caller.userId ?? 'unknown',
    means: identified?.access.means ?? 'unknown',
    credential: identified?.access.credential ?? null,
    action: 'watchTask',
    permission: 'executions:read',
    resource_type: 'task',
    resource_id: taskId,
    address: plainAddress(address),
    user_agent: request.headers['user-agent']?.slice(0, 256) ?? null,
    decision: 'denied',
    reason: status === 401 ? 'unauthorized' : 'forbidden',
    status,
    request_id: context.requestId,
    trace_id: context.traceId,
    details: { upgrade: 'websocket' },
  };
}
