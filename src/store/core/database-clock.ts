/**
 * The database's time, by which everything that is stored goes. A process whose own clock is wrong, or is set while it
 * runs, must not end the waits of others early; between two probes the time goes on by a clock that nobody can set.
 */
import type pg from 'pg';
import { SKEW_MS } from '../../domain/health/liveness.ts';
import type { Logger } from '../../engine/ports/logger.ts';

/** More than what a probe may be wrong by. */
const SET_MS = 5_000;
/** A worker that is more than that off says so. */

export interface DatabaseClock {
  /** Milliseconds since 1970; this process's own until the first probe. */
  now(): number;
  /** Resolves to how many milliseconds it was set forward (back: below 0) since the last probe; 0 where it only went on. */
  probe(): Promise<number>;
}

export function createDatabaseClock(pool: Pick<pg.Pool, 'query'>, log: Logger): DatabaseClock {
  let last = { databaseMs: Date.now(), mono: performance.now() };
  let hasProbed = false;
  const now = () => last.databaseMs + performance.now() - last.mono;
  return {
    now,
    async probe() {
      const from = performance.now();
      const { rows } = await pool.query<{ ms: number }>(
        'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
      );
      const mono = performance.now();
      const ms = rows[0]?.ms;
      if (ms === undefined) return 0;
      // It was read somewhere on the way.
      const read = { databaseMs: ms + (mono - from) / 2, mono };
      const byMs = hasProbed ? Math.round(read.databaseMs - last.databaseMs - (read.mono - last.mono)) : 0;
      last = read;
      hasProbed = true;
      const skewMs = Math.round(Date.now() - now());
      if (Math.abs(skewMs) > SKEW_MS) log.warn('clock_skew', { skew_ms: skewMs });
      if (Math.abs(byMs) <= SET_MS) return 0;
      log.warn('database_clock_set', { by_ms: byMs });
      return byMs;
    },
  };
}

/** Probes the clock; after it was set back `takeBack` is called until it has succeeded once. */
export function watchClock(clock: Pick<DatabaseClock, 'probe'>, takeBack: () => Promise<unknown>): () => Promise<void> {
  let isPending = false;
  return async () => {
    if ((await clock.probe()) < 0) isPending = true;
    if (!isPending) return;
    await takeBack();
    isPending = false;
  };
}
