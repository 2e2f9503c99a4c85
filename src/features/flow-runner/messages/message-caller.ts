/** Who acts when a message is taken in: whom it names, with the rights of a service that publishes. */
import { randomBytes } from 'node:crypto';
import { type Permission, ROLE_PERMISSIONS } from '../../../domain/access.ts';
import type { Caller } from '../../../engine/ports/use-cases.ts';
import { readTraceparent } from '../../../http/middleware/context.ts';
import type { FlowRunMessage } from '../schemas.ts';
import type { MessageHeaders } from '../transport/ports.ts';

/** As where nobody says who they are. */
const NOBODY = 'anonymous';
const RIGHTS: ReadonlySet<Permission> = new Set(ROLE_PERMISSIONS.editor);

export function callerOf(request: FlowRunMessage, headers: MessageHeaders): Caller {
  const trace = readTraceparent(headers['traceparent']);
  return {
    tenantId: request.tenant_id,
    userId: request.user_id ?? NOBODY,
    correlationId: undefined,
    traceId: trace?.traceId ?? randomBytes(16).toString('hex'),
    parentSpanId: trace?.parentSpanId,
    may: (permission) => RIGHTS.has(permission),
  };
}
