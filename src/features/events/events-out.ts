/** The outbox of the event stream. Its rows are written by a trigger, with the event: docs/decisions has why. */
import type pg from 'pg';
import { inTransaction } from '../../store/core/in-transaction.ts';
import type { EventsOut, LockedOutbox } from './event-stream-ports.ts';
import { PLATFORM_EVENT, type RawLoggedEvent, RUN_EVENT, toLoggedEvent } from './logged-events.ts';

/** Any constant will do, as long as it is ours alone. */
const STREAM_LOCK = 7_202_641;
/** Events are written down for so long after the last worker with a stream was there. */
const SUBSCRIBED = `interval '1 day'`;
const RENEWED = `interval '12 hours'`;
/** What Redis may still lose after it has said that it has it. */
const SENT_RETENTION = `interval '1 minute'`;
const UNSENT_RETENTION = `interval '7 days'`;
/** A session that has the lock and is idle for so long is closed. */
const LOCK_TIMEOUT = '30s';

const SUBSCRIBE = `
INSERT INTO event_stream AS s (name, wanted_until) VALUES ($1, now() + ${SUBSCRIBED})
ON CONFLICT (name) DO UPDATE SET wanted_until = EXCLUDED.wanted_until WHERE s.wanted_until < now() + ${RENEWED}`;

const WAITING = `
WITH o AS MATERIALIZED (SELECT id, event_id, run_id FROM event_out WHERE sent_at IS NULL ORDER BY id LIMIT $1)
SELECT * FROM (
  SELECT o.id AS owed, ${RUN_EVENT} FROM o JOIN event e ON e.run_id = o.run_id AND e.id = o.event_id JOIN run r ON r.id = o.run_id
  UNION ALL
  SELECT o.id, ${PLATFORM_EVENT} FROM o JOIN platform_event p ON o.run_id IS NULL AND p.id = o.event_id
  UNION ALL
  SELECT o.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM o
  WHERE NOT EXISTS (SELECT FROM event e JOIN run r ON r.id = e.run_id WHERE e.run_id = o.run_id AND e.id = o.event_id)
    AND NOT EXISTS (SELECT FROM platform_event p WHERE o.run_id IS NULL AND p.id = o.event_id)
) f ORDER BY owed`;

const SENT = `
UPDATE event_out o SET sent_at = now(), sent_ms = k.ms, sent_n = k.n
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k(id, ms, n) WHERE o.id = k.id`;

const REQUEUE_LOST = `
UPDATE event_out SET sent_at = NULL, sent_ms = NULL, sent_n = NULL
WHERE sent_at IS NOT NULL AND (sent_ms, sent_n) > ($1::bigint, $2::bigint)`;

const HAS_PENDING = `
SELECT EXISTS (SELECT FROM event_out WHERE sent_at IS NULL)
  OR EXISTS (SELECT FROM event_out WHERE sent_at IS NOT NULL AND (sent_ms, sent_n) > ($1::bigint, $2::bigint)) AS owes`;

const REMOVE_SENT = `
DELETE FROM event_out WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM event_out WHERE sent_at < now() - ${SENT_RETENTION} ORDER BY sent_at LIMIT $1))`;
const REMOVE_UNSENT = `
DELETE FROM event_out WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM event_out WHERE sent_at IS NULL AND at < now() - ${UNSENT_RETENTION} ORDER BY id LIMIT $1))`;

type RawPending = { owed: string } & (RawLoggedEvent | { id: null });

export function createEventsOut(pool: pg.Pool, name: string): EventsOut {
  return {
    async subscribe() {
      await pool.query({ name: 'want-events', text: SUBSCRIBE, values: [name] });
    },
    async hasPending({ ms, n }) {
      const values = [ms.toString(), n.toString()];
      const { rows } = await pool.query<{ owes: boolean }>({ name: 'owes-events', text: HAS_PENDING, values });
      return rows[0]?.owes === true;
    },
    async exclusively(work) {
      let done: { value: Awaited<ReturnType<typeof work>> } | undefined;
      await inTransaction(pool, async (client) => {
        const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [
          STREAM_LOCK,
        ]);
        if (rows[0]?.mine !== true) return false;
        await client.query(`SET LOCAL idle_in_transaction_session_timeout = '${LOCK_TIMEOUT}'`);
        done = { value: await work(lockedOutbox(client)) };
        return true;
      });
      return done?.value;
    },
    async removeOld(limit) {
      const sent = await pool.query(REMOVE_SENT, [limit]);
      const unsent = await pool.query(REMOVE_UNSENT, [limit]);
      return { sent: sent.rowCount ?? 0, unsent: unsent.rowCount ?? 0 };
    },
  };
}

function lockedOutbox(client: pg.PoolClient): LockedOutbox {
  return {
    async waiting(limit) {
      const { rows } = await client.query<RawPending>({ name: 'events-to-send', text: WAITING, values: [limit] });
      return rows.map(({ owed: outId, ...row }) => ({
        outId,
        event: row.id === null ? undefined : toLoggedEvent(row),
      }));
    },
    async sent(marks) {
      const positions = marks.map(({ as }) => as);
      await client.query({
        name: 'events-sent',
        text: SENT,
        values: [
          marks.map(({ outId }) => outId),
          positions.map((as) => as?.ms.toString() ?? null),
          positions.map((as) => as?.n.toString() ?? null),
        ],
      });
    },
    async requeueLost({ ms, n }) {
      const { rowCount } = await client.query({
        name: 'events-owed-again',
        text: REQUEUE_LOST,
        values: [ms.toString(), n.toString()],
      });
      return rowCount ?? 0;
    },
  };
}
