/** What liveness and readiness look at: whether the stores answer, and soon enough for whoever asks. */
import type pg from 'pg';
import { codeOf } from '../../domain/health/fault-problems.ts';
import { endedWithin } from '../../engine/deliver/time-limit.ts';
import type { EngineHealth } from '../../engine/health/engine-health.ts';
import type { FlowQueue } from '../../engine/ports/queue.ts';
import type { Health } from '../../engine/ports/use-cases.ts';

const TIMEOUT_MS = 1_500;

export function healthOf(
  pool: pg.Pool,
  queue: Pick<FlowQueue, 'ping'>,
  kind: 'redis' | 'postgres',
  engine: Pick<EngineHealth, 'report'>,
): Health {
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
