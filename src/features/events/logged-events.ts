/** How an event's row becomes an event of the log, for all statements that read them. */

import type { JsonObject } from '../../schemas/json.ts';
import type { LoggedEvent } from './event-log-ports.ts';

/** Of `event e JOIN run r`. */
export const RUN_EVENT = `e.id, e.kind, r.tenant_id, e.run_id, r.correlation_id, r.trace_id, e.at,
  jsonb_build_object('execution_id', e.run_id, 'workflow_id', r.workflow_id, 'action_id', e.action_id, 'epoch', e.epoch,
                     'attempt', e.attempt, 'details', e.data) AS data`;

/** Of `platform_event p`, in the same columns. */
export const PLATFORM_EVENT = 'p.id, p.kind, p.tenant_id, p.run_id, p.correlation_id, p.trace_id, p.at, p.data';

export interface RawLoggedEvent {
  /** An int8 comes as text. */
  id: string;
  kind: string;
  tenant_id: string;
  run_id: string | null;
  correlation_id: string | null;
  trace_id: string | null;
  at: Date;
  data: JsonObject;
}

export function toLoggedEvent(row: RawLoggedEvent): LoggedEvent {
  const { id, kind, tenant_id: tenantId, run_id: runId, correlation_id, trace_id, at, data } = row;
  return { id, kind, tenantId, runId, correlationId: correlation_id, traceId: trace_id, at, data };
}
