/**
 * The group commit of outcomes, in one round trip: task rows under the fence, attempts, events, and the end of every
 * run whose last action is among them. Events come only from rows that were really written.
 *
 * The fence (reliability rule): the epoch is the run's, the row is not final, this attempt has not ended before, and
 * it is either a success (the effect has happened: the first one wins, whoever holds it) or the current fence.
 */
import type pg from 'pg';
import type { CommitResult, Outcome } from '../engine/ports.ts';

// Input is sorted, so that all writers lock in one order, and deduplicated, because one worker may hold two deliveries.
const COMMIT = `
WITH o AS MATERIALIZED (
  SELECT DISTINCT ON (run_id, action_id) *
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::text[], $8::bool[], $9::bool[],
              $10::bool[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::uuid[], $15::text[], $16::float8[],
              $17::timestamptz[], $18::int[], $19::bool[], $20::jsonb[])
       AS o(run_id, action_id, action_type, epoch, attempt, fence, status, final, ended,
            tolerated, input, output, error, commit_id, worker, elapsed_ms, wake_at, next_delivery, ends_run, run_output)
  ORDER BY run_id, action_id, (status = 'completed') DESC, fence DESC, attempt DESC
), w AS (
  INSERT INTO task AS t (run_id, action_id, action_type, epoch, attempt, ended_attempt, fence, deliveries, next_delivery, status,
                         final, tolerated, input, output, error, commit_id, worker, wake_at, started_at, finished_at, updated_at)
  SELECT o.run_id, o.action_id, o.action_type, o.epoch, o.attempt, CASE WHEN o.ended THEN o.attempt ELSE o.attempt - 1 END, o.fence, 1,
         o.next_delivery, o.status, o.final, o.tolerated, o.input, o.output, o.error, o.commit_id, o.worker, o.wake_at,
         now() - make_interval(secs => o.elapsed_ms / 1000), CASE WHEN o.final THEN now() END, now()
  FROM o JOIN run r ON r.id = o.run_id AND r.epoch = o.epoch AND NOT r.final
  ORDER BY o.run_id, o.action_id
  ON CONFLICT (run_id, action_id) DO UPDATE SET
    attempt = greatest(t.attempt, EXCLUDED.attempt), ended_attempt = EXCLUDED.ended_attempt, deliveries = 1,
    next_delivery = EXCLUDED.next_delivery, status = EXCLUDED.status, final = EXCLUDED.final, tolerated = EXCLUDED.tolerated,
    input = coalesce(EXCLUDED.input, t.input), output = EXCLUDED.output, error = EXCLUDED.error, commit_id = EXCLUDED.commit_id,
    worker = coalesce(EXCLUDED.worker, t.worker), wake_at = coalesce(t.wake_at, EXCLUDED.wake_at),
    started_at = coalesce(t.started_at, EXCLUDED.started_at), finished_at = EXCLUDED.finished_at, updated_at = now()
  WHERE t.epoch = EXCLUDED.epoch AND NOT t.final
    AND EXCLUDED.attempt > t.ended_attempt
    AND (EXCLUDED.status = 'completed' OR EXCLUDED.fence = t.fence)
  RETURNING t.run_id, t.action_id
), written AS MATERIALIZED (
  SELECT o.* FROM o JOIN w USING (run_id, action_id)
), a AS (
  INSERT INTO attempt (run_id, action_id, epoch, attempt, status, error, worker, started_at, finished_at)
  SELECT run_id, action_id, epoch, attempt, CASE WHEN status = 'retrying' THEN 'failed' ELSE status END, error, worker,
         now() - make_interval(secs => elapsed_ms / 1000), now()
  FROM written WHERE ended AND elapsed_ms IS NOT NULL
  ON CONFLICT DO NOTHING
), locked AS MATERIALIZED (
  -- After the tasks, and in one order too: whoever changes several runs locks them by id. The status is the newest.
  SELECT r.id, r.status, x.ends
  FROM (SELECT run_id, bool_or(ends_run AND final) AS ends FROM written GROUP BY run_id) x JOIN run r ON r.id = x.run_id
  WHERE NOT r.final AND (x.ends OR r.status IN ('pending', 'queued'))
  ORDER BY r.id FOR NO KEY UPDATE OF r
), begun AS (
  UPDATE run r SET status = 'running', started_at = coalesce(r.started_at, now())
  FROM locked l WHERE r.id = l.id AND NOT l.ends AND r.status IN ('pending', 'queued') AND NOT r.final
), f AS (
  UPDATE run r SET
    final = true,
    status = s.status,
    output = CASE WHEN s.status = 'completed' THEN s.run_output END,
    error = CASE WHEN s.status = 'failed' THEN s.error END,
    started_at = coalesce(r.started_at, s.started_at, now()),
    finished_at = now(),
    callback_due_at = CASE WHEN r.callback_url IS NOT NULL THEN now() END
  FROM (
    SELECT c.run_id, c.epoch, c.run_output,
      -- The other rows were committed before this one could begin, so the statement's snapshot has them.
      CASE WHEN c.status = 'failed' AND NOT c.tolerated THEN c.error ELSE first_failure.error END AS error,
      now() - make_interval(secs => c.elapsed_ms / 1000) AS started_at,
      CASE WHEN l.status = 'cancelling' THEN 'cancelled'
           WHEN (c.status = 'failed' AND NOT c.tolerated) OR first_failure.action_id IS NOT NULL THEN 'failed'
           ELSE 'completed' END AS status
    FROM written c JOIN locked l ON l.id = c.run_id
    LEFT JOIN LATERAL (
      SELECT t.action_id, t.error FROM task t
      WHERE t.run_id = c.run_id AND t.action_id <> c.action_id AND t.status = 'failed' AND NOT t.tolerated
      ORDER BY t.finished_at LIMIT 1
    ) first_failure ON true
    WHERE c.ends_run AND c.final
  ) s
  WHERE r.id = s.run_id AND r.epoch = s.epoch AND NOT r.final
  RETURNING r.id, r.status, r.epoch
), e AS (
  INSERT INTO event (run_id, action_id, epoch, attempt, kind)
  SELECT run_id, action_id, epoch, attempt, 'task.' || status FROM written
  UNION ALL
  SELECT id, NULL, epoch, NULL, 'run.' || status FROM f
)
SELECT o.run_id, o.action_id, o.commit_id,
       (w.run_id IS NOT NULL OR before.commit_id IS NOT DISTINCT FROM o.commit_id) AS accepted,
       -- Several ids in one notification, which must stay below 8,000 bytes.
       (SELECT count(pg_notify('run_final', ids))
        FROM (SELECT string_agg(id, ',') AS ids FROM (SELECT id, row_number() OVER () / 20 AS part FROM f) GROUP BY part)) AS ended
FROM o LEFT JOIN w USING (run_id, action_id)
       LEFT JOIN task before ON before.run_id = o.run_id AND before.action_id = o.action_id`;

interface Row {
  run_id: string;
  action_id: string;
  commit_id: string;
  accepted: boolean;
}

/** One answer per outcome. An outcome that lost to a twin in its own batch is refused. */
export async function commitOutcomes(pool: pg.Pool, outcomes: readonly Outcome[]): Promise<CommitResult[]> {
  const mono = performance.now();
  const column = <T>(pick: (outcome: Outcome) => T): T[] => outcomes.map(pick);
  const { rows } = await pool.query<Row>({
    name: 'commit-outcomes',
    text: COMMIT,
    values: [
      column((o) => o.runId),
      column((o) => o.actionId),
      column((o) => o.actionType),
      column((o) => o.epoch),
      column((o) => o.attempt),
      column((o) => o.fence),
      column((o) => o.status),
      column((o) => o.final),
      column((o) => o.ended),
      column((o) => o.tolerated),
      column((o) => o.input),
      column((o) => o.output),
      column((o) => o.error),
      column((o) => o.commitId),
      column((o) => o.worker),
      // All stored times are the database's: the worker only says how long ago the attempt began.
      column((o) => (o.startedMono === null ? null : Math.max(0, mono - o.startedMono))),
      column((o) => o.wakeAt),
      column((o) => o.nextDelivery),
      column((o) => o.endsRun),
      column((o) => o.runOutput),
    ],
  });
  const accepted = new Set(rows.filter((row) => row.accepted).map((row) => row.commit_id));
  return outcomes.map((outcome) => (accepted.has(outcome.commitId) ? 'accepted' : 'refused'));
}
