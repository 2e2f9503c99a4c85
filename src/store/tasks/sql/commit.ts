/**
 * Commits outcomes, in one round trip: task rows under the fence, attempts, events, and the end of every run whose last
 * action is among them. Events come only from rows that were really written.
 *
 * The fence (reliability rule): the epoch is the run's, the row is not final, this attempt has not ended before, and
 * it is either a success (the effect has happened: the first one wins, whoever holds it) or the current fence.
 */
import { AFTER_FAILED_ATTEMPT } from '../../../domain/runs/run-states.ts';
import { BY_KEY_ALONE, EACH } from '../../core/by-key.ts';
import { sqlList } from '../../core/states.ts';
import { CANCELLED_AS, CANCELLED_ERROR } from '../../runs/cancelled-runs.ts';

// `n` is the place of an outcome in the parameters: what was written brings it along by its commit id, and everything else
// about it is read from the parameters by that place. Joins would be of lists that have no index, so quadratic.
// Input is sorted, so that all writers lock in one order.
export const COMMIT = `
WITH w AS (
  INSERT INTO task AS t (run_id, action_id, action_type, epoch, attempt, ended_attempt, fence, deliveries, next_delivery, status,
                         final, tolerated, input, output, error, commit_id, worker, wake_at, not_before, wakes_seen, cached, effect_unknown, started_at, finished_at, updated_at)
  SELECT o.run_id, o.action_id, o.action_type, o.epoch, o.attempt, CASE WHEN o.ended THEN o.attempt ELSE o.attempt - 1 END, o.fence, 1,
         o.next_delivery, o.status, o.final, o.tolerated, o.input, o.output, o.error, o.commit_id, o.worker, o.wake_at + c.off, o.not_before + c.off, o.wakes_seen, o.cached, o.effect_unknown,
         now() - make_interval(secs => o.elapsed_ms / 1000), CASE WHEN o.final THEN now() END, now()
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::text[], $8::bool[], $9::bool[],
              $10::bool[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::uuid[], $15::text[], $16::float8[],
              $17::timestamptz[], $18::int[], $21::int[], $22::bool[], $23::bool[], $24::timestamptz[], $25::timestamptz[])
       AS o(run_id, action_id, action_type, epoch, attempt, fence, status, final, ended,
            tolerated, input, output, error, commit_id, worker, elapsed_ms, wake_at, next_delivery, wakes_seen, cached, effect_unknown, not_before, told_at)
  -- The clock was set, and the worker did not know it: what was so long from then is as long from now. Less is no more than the way here.
  CROSS JOIN LATERAL (SELECT CASE WHEN abs(extract(epoch FROM now() - o.told_at)) > 10 THEN now() - o.told_at ELSE interval '0' END AS off) c
  CROSS JOIN LATERAL (SELECT FROM run WHERE id = o.run_id AND epoch = o.epoch AND (NOT final) ${BY_KEY_ALONE} ${EACH}) live
  ORDER BY o.run_id, o.action_id
  ON CONFLICT (run_id, action_id) DO UPDATE SET
    attempt = greatest(t.attempt, EXCLUDED.attempt), ended_attempt = EXCLUDED.ended_attempt, deliveries = 1,
    next_delivery = EXCLUDED.next_delivery, status = EXCLUDED.status, final = EXCLUDED.final, tolerated = EXCLUDED.tolerated,
    input = coalesce(EXCLUDED.input, t.input), output = EXCLUDED.output, error = EXCLUDED.error, commit_id = EXCLUDED.commit_id,
    worker = coalesce(EXCLUDED.worker, t.worker), wake_at = coalesce(t.wake_at, EXCLUDED.wake_at), not_before = EXCLUDED.not_before,
    wakes_seen = EXCLUDED.wakes_seen, cached = EXCLUDED.cached,
    -- What one attempt may have done, no later failure takes back.
    effect_unknown = coalesce(t.effect_unknown, false) OR EXCLUDED.effect_unknown,
    started_at = coalesce(t.started_at, EXCLUDED.started_at), finished_at = EXCLUDED.finished_at, updated_at = now()
  WHERE t.epoch = EXCLUDED.epoch AND NOT t.final
    AND EXCLUDED.attempt > t.ended_attempt
    AND (EXCLUDED.status = 'completed' OR EXCLUDED.fence = t.fence)
  RETURNING t.run_id, t.action_id, t.epoch, t.status, t.final, array_position($14::uuid[], t.commit_id) AS n
), a AS (
  INSERT INTO attempt (run_id, action_id, epoch, attempt, status, error, worker, started_at, finished_at)
  SELECT run_id, action_id, epoch, ($5::int[])[n], CASE WHEN status = 'retrying' THEN 'failed' ELSE status END, ($13::jsonb[])[n],
         ($15::text[])[n], now() - make_interval(secs => ($16::float8[])[n] / 1000), now()
  FROM w WHERE ($9::bool[])[n] AND ($16::float8[])[n] IS NOT NULL
  ON CONFLICT DO NOTHING
), g AS (
  -- Counted in their groups later, by one process, each once (count-failures.ts).
  INSERT INTO task_failure (run_id, action_id, epoch, attempt, tenant_id, workflow_id, action_type, final, error)
  SELECT w.run_id, w.action_id, w.epoch, ($5::int[])[w.n], r.tenant_id, r.workflow_id, ($3::text[])[w.n], w.final, ($13::jsonb[])[w.n]
  FROM w CROSS JOIN LATERAL (SELECT tenant_id, workflow_id FROM run WHERE id = w.run_id ${EACH}) r
  WHERE w.status IN ${sqlList(AFTER_FAILED_ATTEMPT)} AND ($9::bool[])[w.n]
  ON CONFLICT DO NOTHING
), locked AS MATERIALIZED (
  -- After the tasks, and in one order too: whoever changes several runs locks them by id. The status is the newest.
  SELECT r.*, last.n FROM (SELECT run_id, n FROM w WHERE final AND ($19::bool[])[n] ORDER BY run_id) last CROSS JOIN LATERAL (
    SELECT r.id, r.status, ${CANCELLED_AS} AS cancelled_as, ${CANCELLED_ERROR} AS cancelled_error
    FROM run r WHERE r.id = last.run_id AND (NOT r.final) ${BY_KEY_ALONE} FOR NO KEY UPDATE
  ) r
), f AS (
  UPDATE run r SET
    final = true,
    status = s.status,
    output = CASE WHEN s.status = 'completed' THEN ($20::jsonb[])[s.n] END,
    error = CASE s.status WHEN 'failed' THEN s.error WHEN 'timed_out' THEN s.cancelled_error END,
    started_at = coalesce(r.started_at, least(s.started_at, now() - make_interval(secs => ($16::float8[])[s.n] / 1000)), now()),
    finished_at = now()
  FROM (
    SELECT l.id, l.n, l.cancelled_error, others.started_at,
      CASE WHEN own.failed THEN ($13::jsonb[])[l.n] ELSE others.error END AS error,
      CASE WHEN l.status = 'cancelling' THEN l.cancelled_as
           WHEN own.failed OR others.failures > 0 THEN 'failed'
           ELSE 'completed' END AS status
    FROM locked l
    CROSS JOIN LATERAL (SELECT ($7::text[])[l.n] = 'failed' AND NOT ($10::bool[])[l.n] AS failed) own
    -- They were committed before this one could begin, so the statement's snapshot has them.
    CROSS JOIN LATERAL (
      SELECT min(t.started_at) AS started_at, count(*) FILTER (WHERE t.status = 'failed' AND NOT t.tolerated) AS failures,
             (array_agg(t.error ORDER BY t.finished_at) FILTER (WHERE t.status = 'failed' AND NOT t.tolerated))[1] AS error
      FROM task t WHERE t.run_id = l.id AND t.action_id <> ($2::text[])[l.n]
    ) others
  ) s
  WHERE r.id = ANY (ARRAY(SELECT id FROM locked)) AND r.id = s.id AND (NOT r.final) ${BY_KEY_ALONE}
  RETURNING r.id, r.status, r.epoch
), e AS (
  INSERT INTO event (run_id, action_id, epoch, attempt, kind, data)
  SELECT run_id, action_id, epoch, ($5::int[])[n], 'task.' || status, CASE WHEN ($22::bool[])[n] THEN '{"cached": true}'::jsonb END FROM w
  UNION ALL
  SELECT id, NULL, epoch, NULL, 'run.' || status, NULL FROM f
)
SELECT (SELECT array_agg(n) FROM w) AS accepted,
       -- Several ids in one notification, which must stay below 8,000 bytes.
       (SELECT count(pg_notify('run_final', ids))
        FROM (SELECT string_agg(id, ',') AS ids FROM (SELECT id, row_number() OVER () / 20 AS part FROM f) AS ended_runs GROUP BY part) AS messages) AS ended`;
