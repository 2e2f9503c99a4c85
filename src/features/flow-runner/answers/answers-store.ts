/**
 * Takes answers to published tasks: what they mean is decided and committed in one transaction, under the locks of what it is
 * decided from. Attempts, tasks and runs are locked in this order, each by their ids, as everybody locks them.
 */
import type pg from 'pg';
import type { DefinitionRef } from '../../../schemas/job.ts';
import { inTransaction } from '../../../store/core/in-transaction.ts';
import { errorPayload, payload } from '../../../store/payloads/payloads.ts';
import { wakeRunsOf } from '../../../store/recover/sleeping-runs.ts';
import { definitionRef } from '../../../store/runs/run-row.ts';
import { wakesOf } from '../../external-workers/attempt-statements.ts';
import type { PublishedAttempt } from './domain.ts';
import type { AnsweredTask, AnswerStore, Change, LateEffect, LockedAnswers, TaskKey } from './ports.ts';

const LOCK_ATTEMPTS = `
SELECT e.id, e.run_id, e.action_id, e.epoch, e.attempt, e.tenant_id, e.lease_token, e.status, e.published_at, e.taken_at IS NOT NULL AS taken,
  EXISTS (SELECT FROM late_effect l WHERE l.run_id = e.run_id AND l.action_id = e.action_id AND l.epoch = e.epoch AND l.attempt = e.attempt) AS late
FROM external_task e JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS k(run_id, action_id)) k
  ON k.run_id = e.run_id AND k.action_id = e.action_id
WHERE e.by_message ORDER BY e.id FOR UPDATE OF e`;

// Statements of their own: the transaction that had the locks before has committed, and that is seen.
const LOCK_TASKS = `
SELECT t.run_id, t.action_id, t.epoch, t.final FROM task t
JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS k(run_id, action_id)) k ON k.run_id = t.run_id AND k.action_id = t.action_id
ORDER BY t.run_id, t.action_id FOR NO KEY UPDATE OF t`;

const LOCK_RUNS = `
SELECT r.id, r.epoch, r.status, r.final, r.workflow_id, r.workflow_version, r.inline FROM run r
WHERE r.id = ANY ($1::text[]) ORDER BY r.id FOR NO KEY UPDATE`;

const CHANGE = `
WITH u AS (
  UPDATE external_task x SET status = k.status, output = k.output, error = k.error, ended_at = now(), taken_at = NULL
  FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[]) AS k(id, status, output, error) WHERE x.id = k.id
  RETURNING x.run_id, x.action_id, x.epoch, x.status
), w AS (${wakesOf('u')}
), ${wakeRunsOf('w')}
SELECT count(*) FROM w`;

const COMPLETE_NEXT = `
WITH u AS (
  INSERT INTO external_task (id, run_id, action_id, epoch, attempt, tenant_id, topic, priority, input, status, output, by_message, published_at, deadline_at, ended_at)
  SELECT gen_random_uuid()::text, e.run_id, e.action_id, e.epoch, e.attempt + 1, e.tenant_id, e.topic, e.priority, e.input, 'completed', k.output, true, now(), now(), now()
  FROM unnest($1::text[], $2::jsonb[]) AS k(id, output) JOIN external_task e ON e.id = k.id
  ON CONFLICT (run_id, action_id, epoch, attempt) DO NOTHING
  RETURNING run_id, action_id, epoch, status
), w AS (${wakesOf('u')}
), ${wakeRunsOf('w')}
SELECT (SELECT count(*) FROM u)::int AS made, (SELECT count(*) FROM w) AS woken`;

// As of effects that workers of this service bring about (task-store.ts), for several tasks.
const LATE_EFFECTS = `
WITH k AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::jsonb[], $6::bool[])
    AS k(run_id, action_id, epoch, attempt, output, compensated)
), t AS (
  UPDATE task SET effect_unknown = true FROM k
  WHERE task.run_id = k.run_id AND task.action_id = k.action_id AND task.epoch = k.epoch AND task.status <> 'completed'
  RETURNING task.run_id, task.action_id, task.epoch
), l AS (
  INSERT INTO late_effect (run_id, action_id, epoch, attempt, output, compensation)
  SELECT k.run_id, k.action_id, k.epoch, k.attempt, k.output,
    CASE WHEN k.compensated AND EXISTS (SELECT FROM t WHERE t.run_id = k.run_id AND t.action_id = k.action_id AND t.epoch = k.epoch) THEN 'due' END
  FROM k
)
INSERT INTO event (run_id, action_id, epoch, attempt, kind, data)
SELECT run_id, action_id, epoch, attempt, 'task.late_effect', '{"worker": null}'::jsonb FROM k`;

interface RawAttempt {
  id: string;
  run_id: string;
  action_id: string;
  epoch: number;
  attempt: number;
  tenant_id: string;
  lease_token: string | null;
  status: 'available' | 'leased' | 'completed' | 'failed' | 'timed_out' | 'closed';
  published_at: Date | null;
  taken: boolean;
  late: boolean;
}

interface RawTask {
  run_id: string;
  action_id: string;
  epoch: number;
  final: boolean;
}

interface RawRun {
  id: string;
  epoch: number;
  status: string;
  final: boolean;
  workflow_id: string | null;
  workflow_version: number | null;
  inline: DefinitionRef | null;
}

/** `pool`: of every tenant. */
export function createAnswerStore(pool: pg.Pool): AnswerStore {
  return {
    decide: (keys, work) =>
      inTransaction(pool, async (client) => {
        const locked = lockedAnswers(client);
        return work(await lockTasks(client, keys), locked);
      }),
  };
}

async function lockTasks(client: pg.PoolClient, keys: readonly TaskKey[]): Promise<AnsweredTask[]> {
  const values = [keys.map(({ runId }) => runId), keys.map(({ actionId }) => actionId)];
  const attempts = await client.query<RawAttempt>({ name: 'lock-answered', text: LOCK_ATTEMPTS, values });
  if (attempts.rows.length === 0) return [];
  const tasks = await client.query<RawTask>({ name: 'lock-answered-tasks', text: LOCK_TASKS, values });
  const ids = [...new Set(attempts.rows.map((row) => row.run_id))];
  const runs = await client.query<RawRun>({ name: 'lock-answered-runs', text: LOCK_RUNS, values: [ids] });
  const runById = new Map(runs.rows.map((row) => [row.id, row]));
  const taskByKey = new Map(tasks.rows.map((row) => [keyOf(row), row]));
  const found = new Map<string, AnsweredTask & { attempts: PublishedAttempt[] }>();
  for (const row of attempts.rows) {
    const run = runById.get(row.run_id);
    if (run === undefined) continue;
    const key = keyOf(row);
    const task = found.get(key) ?? answeredTask(row, run, taskByKey.get(key));
    task.attempts.push(attemptOf(row));
    found.set(key, task);
  }
  for (const { attempts: list } of found.values()) list.sort((a, b) => a.epoch - b.epoch || a.number - b.number);
  return [...found.values()];
}

function keyOf({ run_id: runId, action_id: actionId }: { run_id: string; action_id: string }): string {
  return `${runId}\0${actionId}`;
}

function answeredTask(row: RawAttempt, run: RawRun, task: RawTask | undefined) {
  const ended = task !== undefined && task.epoch === run.epoch && task.final;
  return {
    ...{ runId: row.run_id, actionId: row.action_id, tenantId: row.tenant_id, epoch: run.epoch },
    of: definitionRef(run),
    live: !run.final && run.status !== 'cancelling' && !ended,
    compensates: run.status === 'compensating',
    attempts: [] as PublishedAttempt[],
  };
}

function attemptOf(row: RawAttempt): PublishedAttempt {
  const isOpen = row.status === 'leased' || row.status === 'available';
  return {
    ...{ id: row.id, epoch: row.epoch, number: row.attempt, leaseToken: row.lease_token, taken: row.taken },
    publishedMs: row.published_at?.getTime(),
    state: isOpen ? 'open' : row.status === 'completed' ? 'completed' : 'ended',
    hasLateEffect: row.late,
  };
}

function lockedAnswers(client: pg.PoolClient): LockedAnswers {
  return {
    async change(changes: readonly Change[]) {
      if (changes.length === 0) return;
      await client.query({
        name: 'answer-published',
        text: CHANGE,
        values: [
          changes.map(({ attemptId }) => attemptId),
          changes.map(({ outcome }) => (outcome === 'done' ? 'completed' : 'failed')),
          changes.map(({ output, tenantId }) => payload(output, tenantId)),
          changes.map(({ error, tenantId }) => errorPayload(error && JSON.stringify(error), tenantId)),
        ],
      });
    },
    async completeNext(changes) {
      if (changes.length === 0) return true;
      const { rows } = await client.query<{ made: number }>({
        name: 'complete-next-published',
        text: COMPLETE_NEXT,
        values: [
          changes.map(({ attemptId }) => attemptId),
          changes.map(({ output, tenantId }) => payload(output, tenantId)),
        ],
      });
      return rows[0]?.made === changes.length;
    },
    async lateEffects(effects: readonly LateEffect[]) {
      if (effects.length === 0) return;
      await client.query({
        name: 'late-effects-of-answers',
        text: LATE_EFFECTS,
        values: [
          effects.map(({ runId }) => runId),
          effects.map(({ actionId }) => actionId),
          effects.map(({ epoch }) => epoch),
          effects.map(({ attempt }) => attempt),
          effects.map(({ output, tenantId }) => payload(output, tenantId)),
          effects.map(({ isCompensated }) => isCompensated),
        ],
      });
    },
  };
}
