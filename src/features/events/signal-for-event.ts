/**
 * A wait that an event from outside ends too. The wait is written down first; then come the events that were there before
 * it, since the run was accepted. An event that is stored meanwhile finds the wait, or is found by it.
 */

import { OrchestratorError } from '../../domain/errors.ts';
import type { InboxTask, SignalState, SignalStore } from '../signals/inbox-ports.ts';
import type { Signals } from '../signals/send-signal.ts';
import type { EventWaits } from './ports.ts';
import { signalWith } from './take-events.ts';

export type SignalForEvents = (
  task: InboxTask & { tenantId: string },
  name: string,
  timeoutSeconds: number | undefined,
  from: { event: string; key: string } | undefined,
) => Promise<SignalState>;

/** The oldest ones; a wait takes one, and a name that waits for events has one wait. */
const MAX_CHECKED = 10;

export function createSignalForEvents(deps: {
  receive: SignalStore['receive'];
  waits: EventWaits;
  signals: Signals;
}): SignalForEvents {
  return async ({ tenantId, ...task }, name, timeoutSeconds, from) => {
    if (from === undefined) return deps.receive(task, name, timeoutSeconds);
    await deps.waits.open({ ...task, tenantId }, { name, ...from });
    const state = await deps.receive(task, name, timeoutSeconds);
    if (state.is !== 'open') return state;
    for (const stored of await deps.waits.early(tenantId, task.runId, from, MAX_CHECKED)) {
      try {
        await signalWith(deps.signals, stored, task.runId, name);
        break;
      } catch (error) {
        // It does not fit, or was taken; the next one may do.
        if (!(error instanceof OrchestratorError)) throw error;
      }
    }
    return deps.receive(task, name, timeoutSeconds);
  };
}
