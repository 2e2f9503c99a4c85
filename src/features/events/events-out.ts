/** What the stream is owed. The rows are written by a trigger, with the event: docs/decisions has why. */
import type pg from 'pg';
import { inTransaction } from '../../store/core/in-transaction.ts';
import type { EventsOut, HeldEventsOut } from './event-stream-ports.ts';
import { PLATFORM_EVENT, type RawLoggedEvent, RUN_EVENT, toLoggedEvent } from './logged-events.ts';

/** Any constant will do, as long as it is ours alone. */
const STREAM_LOCK = 7_202_641;
/** Events are written down for so long after the last worker with a stream was there. */
const WANTED = `interval '1 day'`;
const RENEWED = `interval '12 hours'`;
/** What Redis may still lose after it has said that it has it. */
const SENT_KEPT = `interval '1 minute'`;
const UNSENT_KEPT = `interval '7 days'`;
/** Whoever holds the lock and says nothing for so long is taken for dead. */
const SILENCE = '30s';

const WANT = `
INSERT INTO event_stream AS s (name, wanted_until) VALUES ($1, now() + ${WANTED})
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

const OWED_AGAIN = `
UPDATE event_out SET sent_at = NULL, sent_ms = NULL, sent_n = NULL
WHERE sent_at IS NOT NULL AND (sent_ms, sent_n) > ($1::bigint, $2::bigint)`;

const OWES = `
SELECT EXISTS (SELECT FROM event_out WHERE sent_at IS NULL)
  OR EXISTS (SELECT FROM event_out WHERE sent_at IS NOT NULL AND (sent_ms, sent_n) > ($1::bigint, $2::bigint)) AS owes`;

const REMOVE_SENT = `
DELETE FROM event_out WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM event_out WHERE sent_at < now() - ${SENT_KEPT} ORDER BY sent_at LIMIT $1))`;
const REMOVE_UNSENT = `
DELETE FROM event_out WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM event_out WHERE sent_at IS NULL AND at < now() - ${UNSENT_KEPT} ORDER BY id LIMIT $1))`;

type RawOwed = { owed: string } & (RawLoggedEvent | { id: null });

export function createEventsOut(pool: pg.Pool, name: string): EventsOut {
  return {
    async want() {
      await pool.query({ name: 'want-events', text: WANT, values: [name] });
    },
    async owes({ ms, n }) {
      const values = [ms.toString(), n.toString()];
      const { rows } = await pool.query<{ owes: boolean }>({ name: 'owes-events', text: OWES, values });
      return rows[0]?.owes === true;
    },
    async exclusively(work) {
      let done: { value: Awaited<ReturnType<typeof work>> } | undefined;
      await inTransaction(pool, async (client) => {
        const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [
          STREAM_LOCK,
        ]);
        if (rows[0]?.mine !== true) return false;
        await client.query(`SET LOCAL idle_in_transaction_session_timeout = '${SILENCE}'`);
        done = { value: await work(held(client)) };
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

function held(client: pg.PoolClient): HeldEventsOut {
  return {
    async waiting(limit) {
      const { rows } = await client.query<RawOwed>({ name: 'events-to-send', text: WAITING, values: [limit] });
      return rows.map(({ owed, ...row }) => ({ owed, event: row.id === null ? undefined : toLoggedEvent(row) }));
    },
    async sent(marks) {
      const positions = marks.map(({ as }) => as);
      await client.query({
        name: 'events-sent',
        text: SENT,
        values: [
          marks.map(({ owed }) => owed),
          positions.map((as) => as?.ms.toString() ?? null),
          positions.map((as) => as?.n.toString() ?? null),
        ],
      });
    },
    async owedAgain({ ms, n }) {
      const { rowCount } = await client.query({
        name: 'events-owed-again',
        text: OWED_AGAIN,
        values: [ms.toString(), n.toString()],
      });
      return rowCount ?? 0;
    },
  };
}
