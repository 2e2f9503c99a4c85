/** Takes events from outside: the API as they come, a worker those that were not finished. */
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import { createFindRun } from '../signals/inbox-store.ts';
import { createSignals, type SignalDeps, type Signals } from '../signals/send-signal.ts';
import { createSignalStore } from '../signals/store.ts';
import { createIncomingStore } from './store.ts';
import { createIncomingEvents, type IncomingDeps, type IncomingEvents } from './take-events.ts';

type SignalParts = Pick<SignalDeps, 'plans' | 'queue' | 'failpoint' | 'log' | 'texts'> & {
  pool: pg.Pool;
  config: Config;
};

export function signalsOf({ pool, config, plans, queue, failpoint, texts, log }: SignalParts): Signals {
  return createSignals({
    findRun: createFindRun(pool),
    plans,
    queue,
    failpoint,
    log,
    signals: createSignalStore(pool),
    texts,
    maxOutputBytes: config.maxOutputBytes,
  });
}

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
