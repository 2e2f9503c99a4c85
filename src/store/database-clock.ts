/**
 * The database's time, by which everything that is stored goes. A process whose own clock is wrong, or is set while it
 * runs, must not end the waits of others early; between two looks the time goes on by a clock that nobody can set.
 */
import type pg from 'pg';
import type { Logger } from '../engine/ports.ts';

/** A worker that is more than that off says so. */
const SKEW_WORTH_SAYING_MS = 1_000;

export interface DatabaseClock {
  /** Milliseconds since 1970; this process's own until the first look. */
  now(): number;
  look(): Promise<void>;
}

export function createDatabaseClock(pool: Pick<pg.Pool, 'query'>, log: Logger): DatabaseClock {
  let last = { databaseMs: Date.now(), mono: performance.now() };
  const now = () => last.databaseMs + performance.now() - last.mono;
  return {
    now,
    async look() {
      const from = performance.now();
      const { rows } = await pool.query<{ ms: number }>(
        'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
      );
      const mono = performance.now();
      const ms = rows[0]?.ms;
      if (ms === undefined) return;
      // It was read somewhere on the way.
      last = { databaseMs: ms + (mono - from) / 2, mono };
      const skewMs = Math.round(Date.now() - now());
      if (Math.abs(skewMs) > SKEW_WORTH_SAYING_MS) log.warn('clock_skew', { skew_ms: skewMs });
    },
  };
}
