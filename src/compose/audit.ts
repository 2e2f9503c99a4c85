/** The audit that a feature offers, for those that are opened beside it. */
import type { Audit } from '../engine/ports/audit.ts';

/** Where no feature offers one. */
export const NO_AUDIT: Audit = { write: () => Promise.resolve(), note: () => undefined, denied: () => undefined };

/** `offered` is called when something is written: by then all features are open. */
export function auditOf(offered: () => Audit): Audit {
  return {
    write: (event) => offered().write(event),
    note: (event) => offered().note(event),
    denied: (event) => offered().denied(event),
  };
}
