/** Turns at services, over all workers: taken one after the other under the row of the service. */
import type pg from 'pg';
import { type ServiceLimit, takeRateSlot } from '../../domain/service-rate.ts';
import { createBatcher } from '../../store/core/batch.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { untilItPasses } from '../../store/core/transient.ts';
import type { RateSlots } from './rate-limit.ts';

const LOCK = `
INSERT INTO service_rate (key) VALUES ($1) ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key
RETURNING used, batch_at, batch_planned`;

// A statement of its own: a snapshot from before the lock would not see what the holder before us has let through.
const READ = `
SELECT date_trunc('milliseconds', clock_timestamp()) AS now,
       (SELECT at FROM service_use WHERE key = $1 AND n = $3::bigint + 1 - $4::bigint) AS used_at,
       (SELECT at FROM service_turn WHERE key = $1 AND id = $2) AS turn_at`;

const USE = `
WITH r AS (UPDATE service_rate SET used = used + 1, batch_at = $4, batch_planned = $5 WHERE key = $1 RETURNING used),
t AS (DELETE FROM service_turn WHERE key = $1 AND id = $2)
INSERT INTO service_use (key, n, at, expires_at)
SELECT $1, used, $3, $3::timestamptz + 2 * make_interval(secs => $6::float8) FROM r`;

// Who does not come back has left nothing but this row.
const WAIT = `
WITH r AS (UPDATE service_rate SET batch_at = $4, batch_planned = $5 WHERE key = $1)
INSERT INTO service_turn AS t (key, id, at, expires_at) VALUES ($1, $2, $3, $3::timestamptz + interval '1 hour')
ON CONFLICT (key, id) DO UPDATE SET at = EXCLUDED.at, expires_at = EXCLUDED.expires_at`;

type Ask = { key: string; id: string; limit: ServiceLimit };

export function createServiceTurnStore(pool: pg.Pool): RateSlots {
  // One at a time in each worker: those who wait for the lock must not take all its connections.
  const take = createBatcher<Ask, { waitMs: number; until: Date }>({
    maxItems: 1,
    flush: (asks) => Promise.all(asks.map((ask) => inTransaction(pool, (client) => takeIn(client, ask)))),
    retryAfter: untilItPasses,
  });
  return { take };
}

async function takeIn(client: pg.PoolClient, { key, id, limit }: Ask): Promise<{ waitMs: number; until: Date }> {
  const locked = await client.query<{ used: string; batch_at: Date | null; batch_planned: number }>({
    name: 'service-turn-lock',
    text: LOCK,
    values: [key],
  });
  const rate = locked.rows[0];
  if (rate === undefined) throw new Error(`no row of the service '${key}'`);
  const read = await client.query<{ now: Date; used_at: Date | null; turn_at: Date | null }>({
    name: 'service-turn-read',
    text: READ,
    values: [key, id, rate.used, limit.max],
  });
  const found = read.rows[0];
  if (found === undefined) throw new Error('SELECT without a row');
  const now = found.now.getTime();
  const turn = takeRateSlot(limit, {
    now,
    usedAt: found.used_at?.getTime(),
    slotAt: found.turn_at?.getTime(),
    batchAt: rate.batch_at?.getTime(),
    batchPlanned: rate.batch_planned,
  });
  const at = new Date(turn.at);
  const batch = [turn.batchAt === undefined ? null : new Date(turn.batchAt), turn.batchPlanned];
  if (turn.at <= now) {
    // As of now, not as of when it was due.
    const values = [key, id, found.now, ...batch, limit.perMs / 1_000];
    await client.query({ name: 'service-turn-use', text: USE, values });
    return { waitMs: 0, until: found.now };
  }
  await client.query({ name: 'service-turn-wait', text: WAIT, values: [key, id, at, ...batch] });
  return { waitMs: turn.at - now, until: at };
}
