/**
 * What was denied, without letting a flood fill the disk: of each address, actor, operation and host the first is written at once,
 * the others within a minute are counted and written as one. Of more different ones than that, likewise, all together.
 */
import type { AuditEvent } from '../../engine/ports/audit.ts';

const WINDOW_MS = 60_000;
const MAX_KINDS = 200;

export interface Denials {
  /** What is to be written now, if it is. */
  take(event: AuditEvent): AuditEvent | undefined;
  /** What was counted in windows that are over; with `all`, in those under way too. */
  due(all?: boolean): AuditEvent[];
}

interface Counted {
  event: AuditEvent;
  since: number;
  more: number;
}

export function createDenials(now: () => number): Denials {
  const counted = new Map<string, Counted>();
  return {
    take(event) {
      const sameKind = counted.get(kindOf(event));
      if (sameKind !== undefined) {
        sameKind.more += 1;
        return undefined;
      }
      if (counted.size < MAX_KINDS) {
        counted.set(kindOf(event), { event, since: now(), more: 0 });
        return event;
      }
      const others = ofAll(event);
      const rest = counted.get(kindOf(others));
      if (rest === undefined) counted.set(kindOf(others), { event: others, since: now(), more: 1 });
      else rest.more += 1;
      return undefined;
    },
    due(all = false) {
      const over = [...counted].filter(([, { since }]) => all || now() - since >= WINDOW_MS);
      for (const [kind] of over) counted.delete(kind);
      return over
        .filter(([, { more }]) => more > 0)
        .map(([, { event, more }]) => ({
          ...event,
          request_id: null,
          trace_id: null,
          details: { more, within_seconds: WINDOW_MS / 1000 },
        }));
    },
  };
}

function kindOf(event: AuditEvent): string {
  const { tenant_id: tenant, address, actor, action, status, resource_type: type, resource_id: id, reason } = event;
  return JSON.stringify([tenant, address, actor, action, status, ...(type === 'host' ? [id, reason] : [])]);
}

/** Whoever they are: the one entry for all that there was no room for. */
function ofAll(event: AuditEvent): AuditEvent {
  const nobody = {
    actor: 'several',
    means: 'none',
    credential: null,
    permission: null,
    address: null,
    user_agent: null,
  };
  return {
    ...event,
    ...nobody,
    tenant_id: '',
    action: 'several',
    resource_type: null,
    resource_id: null,
    status: null,
  };
}
