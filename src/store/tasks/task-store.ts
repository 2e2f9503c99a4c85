/** The store of tasks: look-ups, tokens, outcomes. All of it waits for the database rather than fail a task for it. */
import type pg from 'pg';
import { OrchestratorError, UnreadablePayload } from '../../domain/errors.ts';
import { SLEEPING_TASKS } from '../../domain/runs/run-states.ts';
import { type Failpoint, NO_FAILPOINT } from '../../engine/ports/failpoint.ts';
import type { Lookup, LookupRequest } from '../../engine/ports/rows.ts';
import type { CommitResult, DeliveryRecord, Outcome, TaskStore } from '../../engine/ports/tasks.ts';
import { createBatcher, measured, type OnWrite } from '../core/batch.ts';
import { BY_KEY_ALONE, EACH } from '../core/by-key.ts';
import { mayMove, sqlList } from '../core/states.ts';
import { isDataFault, isTransient, persist, untilItIsRepaired, untilItPasses } from '../core/transient.ts';
import { payload } from '../payloads/payloads.ts';
import { wakeRunsOf } from '../recover/sleeping-runs.ts';
import { commitOutcomes } from './commit.ts';
import { lookUp } from './lookup.ts';

const LOOK_UPS_PER_STATEMENT = 200;
const OUTCOMES_PER_STATEMENT = 100;
const GATHER_MS = 1;
const RUNS_MARKED_PER_STATEMENT = 5_000;
/** Many runs end before that and need no mark; until then its tasks show that a run is running. */
const MARK_STARTED_AFTER_MS = 500;

// The token of a delivery that is not a clean first one; counting it here is what finds a poison task.
export const CLAIM = `
INSERT INTO task AS t (run_id, action_id, action_type, epoch, attempt, ended_attempt, fence, deliveries, status, worker, started_at)
SELECT r.id, $3, $4, r.epoch, 1, 0, 2, 2, 'running', $5, now() FROM run r WHERE r.id = $1 AND r.epoch = $2 AND (NOT r.final) ${BY_KEY_ALONE}
ON CONFLICT (run_id, action_id) DO UPDATE SET
  fence = t.fence + 1, deliveries = t.deliveries + 1, next_delivery = NULL, worker = EXCLUDED.worker, updated_at = now(),
  status = CASE WHEN t.status = 'waiting' THEN t.status ELSE 'running' END
WHERE t.epoch = EXCLUDED.epoch AND NOT t.final
RETURNING fence, deliveries`;

const MARK_RUNNING = `
WITH o AS (
  SELECT DISTINCT ON (run_id, action_id) *
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::text[], $8::float8[], $9::jsonb[])
       AS o(run_id, action_id, action_type, epoch, attempt, fence, worker, elapsed_ms, input)
  ORDER BY run_id, action_id, fence DESC
), w AS (
  INSERT INTO task AS t (run_id, action_id, action_type, epoch, attempt, ended_attempt, fence, status, worker, input, started_at)
  SELECT o.run_id, o.action_id, o.action_type, o.epoch, o.attempt, o.attempt - 1, o.fence, 'running', o.worker, o.input,
         now() - make_interval(secs => o.elapsed_ms / 1000)
  FROM o CROSS JOIN LATERAL (SELECT FROM run WHERE id = o.run_id AND epoch = o.epoch AND (NOT final) ${BY_KEY_ALONE} ${EACH}) live
  ORDER BY o.run_id, o.action_id
  ON CONFLICT (run_id, action_id) DO UPDATE SET
    status = 'running', attempt = greatest(t.attempt, EXCLUDED.attempt), worker = EXCLUDED.worker, next_delivery = NULL,
    input = coalesce(EXCLUDED.input, t.input), started_at = coalesce(t.started_at, EXCLUDED.started_at), updated_at = now()
  WHERE t.epoch = EXCLUDED.epoch AND NOT t.final AND EXCLUDED.attempt > t.ended_attempt AND t.fence = EXCLUDED.fence
  RETURNING t.run_id
)
UPDATE run r SET status = 'running', started_at = coalesce(r.started_at, now())
WHERE r.id = ANY (ARRAY(
  SELECT locked.id FROM (SELECT DISTINCT run_id FROM w ORDER BY run_id) x CROSS JOIN LATERAL (
    SELECT id FROM run
    WHERE id = x.run_id AND (${mayMove('start')} AND NOT final AND waits_for_slot IS NULL) ${BY_KEY_ALONE}
    FOR NO KEY UPDATE) AS locked))`;

// Whoever ends a run at this moment has it locked, and has no use for the mark.
const MARK_STARTED = `
WITH u AS (
  UPDATE run r SET status = 'running', started_at = coalesce(r.started_at, (SELECT min(t.started_at) FROM task t WHERE t.run_id = r.id), now())
  WHERE r.id = ANY (ARRAY(
    SELECT started.id FROM unnest($1::text[], $2::int[]) AS k(id, epoch) CROSS JOIN LATERAL (
      SELECT id FROM run
      WHERE id = k.id AND epoch = k.epoch AND (${mayMove('start')} AND NOT final) ${BY_KEY_ALONE}
      FOR NO KEY UPDATE SKIP LOCKED) AS started))
)
-- Those that may be asleep: something of it sleeps, and nothing that has a row is under way.
SELECT r.id FROM unnest($1::text[], $2::int[]) AS k(id, epoch)
CROSS JOIN LATERAL (SELECT * FROM run WHERE id = k.id AND epoch = k.epoch ${EACH}) r
WHERE NOT r.final AND ${mayMove('fallAsleep', 'r.status')}
  AND EXISTS (SELECT 1 FROM task t WHERE t.run_id = r.id AND NOT t.final AND t.status IN ${sqlList(SLEEPING_TASKS)} AND t.wakes <= t.wakes_seen ${EACH})
  AND NOT EXISTS (SELECT 1 FROM task t WHERE t.run_id = r.id AND NOT t.final
    AND (t.status = 'running' OR t.status = 'pending' AND t.parent_id IS NOT NULL AND t.released_at IS NOT NULL) ${EACH})`;

// What wakes a task may come before the task has started, so there may be no row yet.
export const WAKE = `
WITH w AS (
  INSERT INTO task AS t (run_id, action_id, action_type, epoch, status, wakes)
  SELECT r.id, k.action_id, k.action_type, r.epoch, 'pending', 1
  FROM run r, unnest($2::text[], $3::text[]) AS k(action_id, action_type) WHERE r.id = $1 AND (NOT r.final) ${BY_KEY_ALONE}
  ORDER BY k.action_id
  ON CONFLICT (run_id, action_id) DO UPDATE SET wakes = t.wakes + 1 WHERE NOT t.final
  RETURNING t.run_id
), ${wakeRunsOf('w')}
SELECT run_id FROM w`;

// A delivery that a fault of the system ended is no sign of a poison task: the next one is announced, and so not counted.
const ANNOUNCE = `
UPDATE task SET next_delivery = $5, updated_at = now()
WHERE run_id = $1 AND action_id = $2 AND epoch = $3 AND fence = $4 AND NOT final`;

// The worker of the task, and a run that compensates, know from then on that it has happened. Another delivery's is compensated
// with that one.
const LATE_EFFECT = `
WITH t AS (
  UPDATE task SET effect_unknown = true WHERE run_id = $1 AND action_id = $2 AND epoch = $3 AND status <> 'completed' RETURNING 1
), l AS (
  INSERT INTO late_effect (run_id, action_id, epoch, attempt, output, worker, compensation)
  SELECT $1, $2, $3, $4, $5::jsonb, $6, CASE WHEN $7::bool AND EXISTS (SELECT 1 FROM t) THEN 'due' END
)
INSERT INTO event (run_id, action_id, epoch, attempt, kind, data)
VALUES ($1, $2, $3, $4, 'task.late_effect', jsonb_build_object('worker', $6::text))`;

export async function markTasksRunning(
  pool: Pick<pg.ClientBase, 'query'>,
  tasks: readonly DeliveryRecord[],
): Promise<void> {
  const mono = performance.now();
  const column = <T>(pick: (task: DeliveryRecord) => T): T[] => tasks.map(pick);
  await pool.query({
    name: 'mark-running',
    text: MARK_RUNNING,
    values: [
      column((t) => t.runId),
      column((t) => t.actionId),
      column((t) => t.actionType),
      column((t) => t.epoch),
      column((t) => t.attempt),
      column((t) => t.fence),
      column((t) => t.worker),
      column((t) => (t.startedMono === null ? 0 : Math.max(0, mono - t.startedMono))),
      column((t) => payload(t.input, t.tenantId)),
    ],
  });
}

export interface OpenTaskStore extends TaskStore {
  pendingCommits(): number;
  /** How long the outcomes that are being committed have waited for it. */
  commitWaitsMs(): number;
  /** Sends what waits for company. */
  drain(): Promise<void>;
}

export interface TaskStoreObservers {
  wrote?: OnWrite | undefined;
  /** For spans: what a statement was sent with. */
  sent?: ((outcomes: readonly Outcome[], statement: Promise<unknown>) => void) | undefined;
  /** Called with runs that may be asleep, a little after a commit. */
  asleep?: ((runIds: readonly string[]) => void) | undefined;
}

export function createTaskStore(
  pool: pg.Pool,
  failpoint: Failpoint = NO_FAILPOINT,
  { wrote, sent, asleep }: TaskStoreObservers = {},
): OpenTaskStore {
  const lookup = createBatcher<LookupRequest, Lookup>({
    maxItems: LOOK_UPS_PER_STATEMENT,
    gatherMs: GATHER_MS,
    partyOf: ({ party = '' }) => party,
    flush: (requests) => lookUp(pool, requests),
    retryAfter: untilItPasses,
    // Only who needs what cannot be decrypted gets the error.
    isDataFault: (error) => error instanceof UnreadablePayload,
  });
  const commit = createBatcher<Outcome, CommitResult>({
    maxItems: OUTCOMES_PER_STATEMENT,
    partyOf: ({ tenantId }) => tenantId,
    flush: measured('outcomes', wrote, async (outcomes) => {
      await failpoint('commit.beforeSend');
      const statement = commitOutcomes(pool, outcomes);
      sent?.(outcomes, statement);
      const results = await statement;
      await failpoint('commit.afterReply');
      return results;
    }),
    retryAfter: untilItIsRepaired,
    isDataFault,
  });
  const markRunning = createBatcher<DeliveryRecord, void>({
    maxItems: OUTCOMES_PER_STATEMENT,
    // It only shows what is going on; whatever is wrong with it must not disturb the task.
    retryAfter: (error, tries) => (isTransient(error) && tries < 3 ? 200 : undefined),
    isDataFault,
    async flush(tasks) {
      await markTasksRunning(pool, tasks);
      return tasks.map(() => undefined);
    },
  });

  const markStarted = createBatcher<Pick<Outcome, 'runId' | 'epoch'>, void>({
    maxItems: RUNS_MARKED_PER_STATEMENT,
    lingerMs: MARK_STARTED_AFTER_MS,
    retryAfter: (error, tries) => (isTransient(error) && tries < 3 ? 200 : undefined),
    async flush(runs) {
      const epochs = new Map(runs.map(({ runId, epoch }) => [runId, epoch]));
      const { rows } = await pool.query<{ id: string }>({
        name: 'mark-started',
        text: MARK_STARTED,
        values: [[...epochs.keys()], [...epochs.values()]],
      });
      if (rows.length > 0) asleep?.(rows.map(({ id }) => id));
      return runs.map(() => undefined);
    },
  });

  return {
    lookup,
    drain: () => markStarted.drain(),
    async commit(outcome) {
      try {
        const result = await commit(outcome);
        const { runId, epoch, endsRun } = outcome;
        // Nobody waits for it, and a run without the mark is only checked more often.
        if (result === 'accepted' && !endsRun) markStarted({ runId, epoch }).catch(() => undefined);
        return result;
      } catch (error) {
        if (isDataFault(error))
          throw new OrchestratorError('output_not_storable', 'the database refused the outcome', { cause: error });
        throw error;
      }
    },
    markRunning,
    pendingCommits: () => commit.size(),
    commitWaitsMs: () => commit.underWayMs(),
    async claim({ runId, epoch, actionId, actionType, worker }) {
      const { rows } = await persist(() =>
        pool.query<{ fence: number; deliveries: number }>({
          name: 'claim-task',
          text: CLAIM,
          values: [runId, epoch, actionId, actionType, worker],
        }),
      );
      return rows[0];
    },
    async announce({ runId, epoch, actionId, fence, nextDelivery }) {
      await pool.query({
        name: 'announce-delivery',
        text: ANNOUNCE,
        values: [runId, actionId, epoch, fence, nextDelivery],
      });
    },
    async wake(runId, woken) {
      const ids = woken.map(({ actionId }) => actionId);
      const types = woken.map(({ actionType }) => actionType);
      await persist(() => pool.query({ name: 'wake-tasks', text: WAKE, values: [runId, ids, types] }));
    },
    async recordLateEffect(outcome, isCompensated) {
      await persist(() =>
        pool.query(LATE_EFFECT, [
          outcome.runId,
          outcome.actionId,
          outcome.epoch,
          outcome.attempt,
          payload(outcome.output, outcome.tenantId),
          outcome.worker,
          isCompensated,
        ]),
      );
    },
  };
}
