/**
 * When the clock of the database is set back, rows that were written before say that they are of the future, and what they
 * wait for is as much too far away: a wait of a second would take the hour as well by which the clock had been wrong. Each
 * such time is moved so that what was left of it when it was written is left now; nothing is moved twice, because what a
 * row says of its own time becomes now with it. docs/decisions/0059-times-of-a-clock-that-was-set-back.md.
 */
import type pg from 'pg';
import { inTransaction } from '../core/in-transaction.ts';

/** Any constant will do, as long as it is ours alone in the database. */
const LOCK = 7_202_612;
/** What statements under way at the same time may differ by. */
const AHEAD = `now() + interval '2 seconds'`;

/** In the order in which everybody locks: tasks before runs, and each by their ids. */
const STATEMENTS: readonly string[] = [
  `UPDATE task t SET wake_at = t.wake_at - (l.written - now()), updated_at = least(t.updated_at, now()), started_at = least(t.started_at, now())
   FROM (SELECT run_id, action_id, greatest(updated_at, started_at) AS written FROM task
         WHERE NOT final AND wake_at > now() AND (updated_at > ${AHEAD} OR started_at > ${AHEAD})
         ORDER BY run_id, action_id FOR NO KEY UPDATE) AS l
   WHERE t.run_id = l.run_id AND t.action_id = l.action_id`,
  // Each is checked, whether something of it waits or not.
  `UPDATE run r SET check_at = least(r.check_at, now()), created_at = least(r.created_at, now()),
     due_at = CASE WHEN l.is_ahead THEN r.due_at - (r.created_at - now()) ELSE r.due_at END,
     deadline_at = CASE WHEN l.is_ahead THEN r.deadline_at - (r.created_at - now()) ELSE r.deadline_at END
   FROM (SELECT id, created_at > ${AHEAD} AS is_ahead FROM run WHERE NOT final ORDER BY id FOR NO KEY UPDATE) AS l
   WHERE r.id = l.id AND (l.is_ahead OR r.check_at > now())`,
  `UPDATE approval SET deadline_at = deadline_at - (greatest(requested_at, escalated_at) - now()),
     requested_at = least(requested_at, now()), escalated_at = least(escalated_at, now())
   WHERE open AND greatest(requested_at, escalated_at) > ${AHEAD}`,
  `UPDATE signal_wait SET deadline_at = deadline_at - (opened_at - now()), opened_at = now()
   WHERE message_id IS NULL AND timed_out_at IS NULL AND opened_at > ${AHEAD}`,
  `UPDATE external_task SET deadline_at = deadline_at - (created_at - now()), created_at = now()
   WHERE status IN ('available', 'leased') AND created_at > ${AHEAD}`,
  `UPDATE external_task SET lease_until = now() + make_interval(secs => lease_seconds)
   WHERE status = 'leased' AND lease_until > now() + make_interval(secs => lease_seconds)`,
  `UPDATE webhook_delivery SET due_at = now(), at = least(at, now()) WHERE status = 'pending' AND at > ${AHEAD}`,
  `UPDATE delivery_circuit SET open_until = now(), updated_at = now() WHERE updated_at > ${AHEAD}`,
  `UPDATE incoming_event SET due_at = now() WHERE due_at > now() AND received_at > ${AHEAD}`,
  // Slots that were started by the other clock have their runs, which are found by their keys.
  `UPDATE schedule SET last_slot_at = now(), due_at = CASE WHEN due_at IS NOT NULL THEN now() END WHERE last_slot_at > ${AHEAD}`,
  // These do not say when their times were written. Done too early, or twice, they do no harm.
  `UPDATE control_operation SET requested_at = least(requested_at, now()), due_at = now(), lease = NULL, lease_until = NULL
   WHERE finished_at IS NULL AND greatest(due_at, lease_until) > ${AHEAD}`,
  `UPDATE peer SET last_seen_at = least(last_seen_at, now()), next_at = now(), leased_until = NULL
   WHERE greatest(next_at, leased_until) > ${AHEAD}`,
  `UPDATE service_instance SET check_at = now(), checked_at = least(checked_at, now()) WHERE check_at > ${AHEAD}`,
  `UPDATE service_instance SET expires_at = expires_at - (heartbeat_at - now()), heartbeat_at = now() WHERE heartbeat_at > ${AHEAD}`,
  `UPDATE worker SET seen_at = now() WHERE seen_at > ${AHEAD}`,
  // Windows of rate limits are counted again.
  `DELETE FROM request_count WHERE ends_at > now() + interval '1 hour'`,
  `UPDATE service_rate SET batch_at = now() WHERE batch_at > ${AHEAD}`,
  `DELETE FROM service_use WHERE at > ${AHEAD}`,
  `UPDATE service_turn SET at = now() WHERE at > now() + interval '1 hour'`,
];

/** False: another process is at it. */
export function takeBackTimesAhead(pool: pg.Pool): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [LOCK]);
    if (rows[0]?.mine !== true) return false;
    for (const statement of STATEMENTS) await client.query(statement);
    return true;
  });
}
