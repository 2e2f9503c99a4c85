/** What liveness and readiness look at: whether the stores answer, and soon enough for whoever asks. */
import type pg from 'pg';
import type { FlowQueue } from '../engine/ports.ts';
import { endedWithin } from '../engine/time-limit.ts';
import type { HttpDeps } from '../http/deps.ts';

const TIMEOUT_MS = 1_500;

export function healthOf(
  pool: pg.Pool,
  queue: Pick<FlowQueue, 'ping'>,
  kind: 'redis' | 'postgres',
): HttpDeps['health'] {
  return {
    async check() {
      const [database, queueUp] = await Promise.all([
        endedWithin(TIMEOUT_MS, pool.query('SELECT 1')).then(
          () => true,
          () => false,
        ),
        queue.ping(),
      ]);
      return { database, redis: kind === 'redis' ? queueUp : null };
    },
  };
}
