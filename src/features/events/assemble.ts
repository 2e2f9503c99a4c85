/** Takes events from outside: the API as they come, a worker those that were not finished. */
import { type SignalParts, signalsOf } from '../signals/assemble.ts';
import { createIncomingStore } from './store.ts';
import { createIncomingEvents, type IncomingDeps, type IncomingEvents } from './take-events.ts';

export function incomingEvents(parts: SignalParts & Pick<IncomingDeps, 'accept' | 'expressions'>): IncomingEvents {
  const { pool, accept, expressions, failpoint, log } = parts;
  const store = createIncomingStore(pool);
  return createIncomingEvents({
    store,
    accept,
    signals: signalsOf(parts),
    expressions,
    failpoint,
    now: () => performance.now(),
    log,
  });
}
