/** What liveness and readiness look at: whether the stores answer, and soon enough for whoever asks. */
import type pg from 'pg';
import { codeOf } from '../domain/fault-problems.ts';
import type { EngineHealth } from '../engine/engine-health.ts';
import type { FlowQueue } from '../engine/ports.ts';
import { endedWithin } from '../engine/time-limit.ts';
import type { HttpDeps } from '../http/deps.ts';

const TIMEOUT_MS = 1_500;

export function healthOf(
  pool: pg.Pool,
  queue: Pick<FlowQueue, 'ping'>,
  kind: 'redis' | 'postgres',
  engine: Pick<EngineHealth, 'report'>,
): HttpDeps['health'] {
  return {
    async check() {
      const [database, queueUp, problems] = await Promise.all([
        endedWithin(TIMEOUT_MS, pool.query('SELECT 1')).then(
          () => true,
          () => false,
        ),
        queue.ping(),
        endedWithin(TIMEOUT_MS, engine.report()).then(
          ({ faults }) => [...new Set(faults.map(codeOf))],
          () => [],
        ),
      ]);
      return { database, redis: kind === 'redis' ? queueUp : null, problems };
    },
  };
}
