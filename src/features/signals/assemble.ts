/** Signals of one process, put together. */
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import { createFindRun } from './inbox-store.ts';
import { createSignals, type SignalDeps, type Signals } from './send-signal.ts';
import { createSignalStore } from './store.ts';

export type SignalParts = Pick<SignalDeps, 'plans' | 'queue' | 'failpoint' | 'log' | 'texts'> & {
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
