/**
 * External tasks as workers outside see them. The lease token is the fence: PostgreSQL issues a new one with every lease, and
 * only the newest may answer. It stays when its lease runs out, so a late answer counts as long as nobody else has the task.
 */
import type pg from 'pg';
import type { Json } from '../../schemas/json.ts';
import { errorPayload, payload, textPayload } from '../../store/payloads/payloads.ts';
import { wakeRunsOf } from '../../store/recover/sleeping-runs.ts';
import { LIVE, RUN_AND_TASK, wakesOf } from './attempt-statements.ts';
import { TOPIC_CHANNEL } from './attempt-store.ts';
import type {
  ExternalTaskStore,
  LeasedTask,
  LoggedAttempt,
  NoLease,
  OpenExternalTask,
  TaskProgress,
  TopicDepth,
  WokenTask,
} from './ports.ts';

/** After so many leases without an outcome the task is given up, like one that ends its workers. */
export const MAX_DELIVERIES = 10;
const TAKEN_BACK_PER_STATEMENT = 100;

const TAKE_BACK = `
WITH expired AS (
  SELECT id FROM external_task WHERE tenant_id = $1 AND topic = $2 AND status = 'leased' AND lease_until <= now()
  ORDER BY lease_until LIMIT $3 FOR UPDATE SKIP LOCKED
), u AS (
  UPDATE external_task x SET
    status = CASE WHEN x.deliveries >= $4 THEN 'failed' ELSE 'available' END,
    error = CASE WHEN x.deliveries >= $4 THEN jsonb_build_object('code', 'worker_crashed', 'retryable', false,
      'message', 'leased ' || x.deliveries || ' times without an outcome') END,
    ended_at = CASE WHEN x.deliveries >= $4 THEN now() END
  FROM expired e WHERE x.id = e.id
  RETURNING x.run_id, x.action_id, x.epoch, x.status
), w AS (${wakesOf('u')}
), ${wakeRunsOf('w')}
SELECT run_id, action_id, epoch FROM u WHERE status = 'failed'`;

// What the run no longer wants is closed on the way, so that it is in nobody's way again.
const LEASE = `
WITH picked AS MATERIALIZED (
  SELECT e.id, ${LIVE} AS live FROM external_task e ${RUN_AND_TASK}
  WHERE e.tenant_id = $1 AND e.topic = $2 AND e.status = 'available' AND r.status <> 'paused'
  ORDER BY e.priority, e.created_at, e.id LIMIT $3 FOR UPDATE OF e SKIP LOCKED
), u AS (
  UPDATE external_task x SET
    status = CASE WHEN NOT p.live THEN 'closed' WHEN x.deadline_at <= now() THEN 'timed_out' ELSE 'leased' END,
    ended_at = CASE WHEN NOT p.live OR x.deadline_at <= now() THEN now() END,
    deliveries = x.deliveries + 1, lease_token = gen_random_uuid()::text, worker_id = $4, lease_seconds = $5::float8,
    lease_until = now() + make_interval(secs => $5::float8), progress = NULL
  FROM picked p WHERE x.id = p.id
  RETURNING x.*
)
SELECT id, run_id, action_id, attempt, topic, status, lease_token, input, deadline_at, lease_until
FROM u ORDER BY priority, created_at, id`;

const GIVE_BACK = `
WITH u AS (
  UPDATE external_task SET status = 'available', deliveries = deliveries - 1
  WHERE tenant_id = $1 AND lease_token = ANY($2::text[]) AND id = ANY($3::text[]) AND status = 'leased'
  RETURNING tenant_id, topic
)
SELECT pg_notify('${TOPIC_CHANNEL}', tenant_id || ' ' || topic) FROM u`;

const HELD = `
WITH e AS MATERIALIZED (
  SELECT e.id, e.run_id, e.action_id, e.epoch, e.attempt, e.created_at, e.deliveries, e.status, coalesce(e.lease_token = $3, false) AS held, ${LIVE} AS live,
         r.final OR r.epoch <> e.epoch OR r.status = 'cancelling' AS ended
  FROM external_task e ${RUN_AND_TASK}
  WHERE e.tenant_id = $1 AND e.id = $2 FOR UPDATE OF e
)`;

const ATTEMPT = 'e.run_id, e.action_id, e.epoch, e.attempt, e.created_at, now() AS now';

// Progress goes where that of every task goes, so that whoever follows the run sees it.
const EXTEND = `${HELD}, u AS (
  UPDATE external_task x SET
    status = CASE WHEN e.live THEN 'leased' ELSE 'closed' END,
    ended_at = CASE WHEN NOT e.live THEN now() END,
    lease_until = CASE WHEN e.live THEN now() + make_interval(secs => coalesce($5::float8, x.lease_seconds)) ELSE x.lease_until END,
    progress = coalesce($4::jsonb, x.progress)
  FROM e WHERE x.id = e.id AND e.held AND x.status IN ('available', 'leased') AND (x.deadline_at > now() OR NOT e.live)
  RETURNING x.status, x.lease_until, x.deadline_at
), told AS (
  INSERT INTO task_report AS p (run_id, action_id, epoch, attempt, fence, execution, percent, message)
  SELECT e.run_id, e.action_id, e.epoch, e.attempt, e.deliveries, e.id::uuid, $6::float8, $7::text
  FROM e JOIN u ON u.status = 'leased' WHERE $4::jsonb IS NOT NULL
  ON CONFLICT (run_id, action_id) DO UPDATE SET
    epoch = EXCLUDED.epoch, attempt = EXCLUDED.attempt, fence = EXCLUDED.fence, execution = EXCLUDED.execution,
    percent = EXCLUDED.percent, message = EXCLUDED.message, version = p.version + 1, at = now()
  WHERE (p.epoch, p.attempt) <= (EXCLUDED.epoch, EXCLUDED.attempt)
  RETURNING p.run_id
)
SELECT ${ATTEMPT}, e.held, e.ended, coalesce(u.status, e.status) AS status, u.lease_until, u.deadline_at,
       (SELECT count(pg_notify('run_live', run_id)) FROM told) AS told
FROM e LEFT JOIN u ON true`;

const ANSWER = `${HELD}, u AS (
  UPDATE external_task x SET status = CASE WHEN e.live THEN $4 ELSE 'closed' END, ended_at = now(),
    output = CASE WHEN e.live THEN $5::jsonb END, error = CASE WHEN e.live THEN $6::jsonb END
  FROM e WHERE x.id = e.id AND e.held AND x.status IN ('available', 'leased')
  RETURNING x.run_id, x.action_id, x.epoch, x.status
), w AS (${wakesOf('u')}
), ${wakeRunsOf('w')}
SELECT ${ATTEMPT}, e.held, e.ended, coalesce(u.status, e.status) AS status, u.run_id IS NOT NULL AS stored FROM e LEFT JOIN u ON true`;

const OPEN_TASKS = `
FROM external_task e ${RUN_AND_TASK}
WHERE e.tenant_id = $1 AND e.status IN ('available', 'leased') AND NOT e.by_message AND ${LIVE}
  AND ($2::text IS NULL OR e.topic = $2) AND ($3::text IS NULL OR $3 = ${shownStatus()})`;

const LIST = `
SELECT e.id, e.run_id, e.action_id, e.attempt, e.topic, ${shownStatus()} AS status, e.priority, e.worker_id, e.deliveries,
       e.lease_until, e.progress, e.created_at, e.deadline_at
${OPEN_TASKS} ORDER BY e.topic, e.priority, e.created_at, e.id LIMIT $4 OFFSET $5`;

const TOPICS = `
SELECT e.topic, count(*) FILTER (WHERE ${shownStatus()} = 'available')::int AS available,
       count(*) FILTER (WHERE ${shownStatus()} = 'leased')::int AS leased,
       extract(epoch FROM now() - min(e.created_at) FILTER (WHERE ${shownStatus()} = 'available'))::float8 AS oldest
${OPEN_TASKS} GROUP BY e.topic ORDER BY e.topic`;

/** A lease that has run out is found by the next poll; until then it is not shown as one. */
function shownStatus(): string {
  return `CASE WHEN e.status = 'leased' AND e.lease_until > now() THEN 'leased' ELSE 'available' END`;
}

interface RawLease {
  id: string;
  run_id: string;
  action_id: string;
  attempt: number;
  topic: string;
  status: 'leased' | 'closed' | 'timed_out';
  lease_token: string;
  input: Json;
  deadline_at: Date;
  lease_until: Date;
}

interface RawHeld {
  run_id: string;
  action_id: string;
  epoch: number;
  attempt: number;
  created_at: Date;
  now: Date;
  held: boolean;
  ended: boolean;
  status: string;
}

interface RawOpen extends Omit<RawLease, 'status' | 'lease_token' | 'input' | 'lease_until'> {
  status: 'available' | 'leased';
  priority: number;
  worker_id: string | null;
  deliveries: number;
  lease_until: Date | null;
  progress: TaskProgress | null;
  created_at: Date;
}

export function createExternalTaskStore(pool: pg.Pool): ExternalTaskStore {
  return {
    async takeBack(tenantId, topic) {
      const { rows } = await pool.query<{ run_id: string; action_id: string; epoch: number }>({
        name: 'take-back-external',
        text: TAKE_BACK,
        values: [tenantId, topic, TAKEN_BACK_PER_STATEMENT, MAX_DELIVERIES],
      });
      return rows.map(toWoken);
    },
    async lease({ tenantId, topic, max, workerId, leaseSeconds }) {
      const { rows } = await pool.query<RawLease>({
        name: 'lease-external',
        text: LEASE,
        values: [tenantId, topic, max, workerId, leaseSeconds],
      });
      const leased = rows.filter(({ status }) => status === 'leased').map(toLeased);
      return { leased, closed: rows.length - leased.length };
    },
    async giveBack(tenantId, leases) {
      const tokens = leases.map(({ leaseToken }) => leaseToken);
      const ids = leases.map(({ taskId }) => taskId);
      await pool.query({ name: 'give-back-external', text: GIVE_BACK, values: [tenantId, tokens, ids] });
    },
    async extend({ tenantId, taskId, leaseToken, progress, seconds }) {
      const { rows } = await pool.query<RawHeld & { lease_until: Date | null; deadline_at: Date | null }>({
        name: 'extend-external',
        text: EXTEND,
        values: [
          ...[
            tenantId,
            taskId,
            leaseToken,
            payload(progress === undefined ? null : JSON.stringify(progress), tenantId),
            seconds,
          ],
          ...[progress?.percent ?? null, textPayload(progress?.message ?? null, tenantId)],
        ],
      });
      const row = rows[0];
      if (row === undefined) return 'unknown';
      const { lease_until: leaseUntil, deadline_at: deadline } = row;
      if (row.status !== 'leased' || leaseUntil === null || deadline === null) return refusal(row);
      return { leaseUntil, deadline, of: toLogged(row) };
    },
    async answer({ tenantId, taskId, leaseToken, outcome }) {
      const output = payload(outcome.status === 'completed' ? outcome.output : null, tenantId);
      const error = errorPayload(outcome.status === 'failed' ? JSON.stringify(outcome.error) : null, tenantId);
      const { rows } = await pool.query<RawHeld & { stored: boolean }>({
        name: 'answer-external',
        text: ANSWER,
        values: [tenantId, taskId, leaseToken, outcome.status, output, error],
      });
      const row = rows[0];
      if (row === undefined) return 'unknown';
      // Also the same outcome once more: the answer to the first one was lost.
      if (!row.held || row.status !== outcome.status) return refusal(row);
      return { ...toWoken(row), of: row.stored ? toLogged(row) : undefined };
    },
    async list(tenantId, { topic, status }, { limit, skip }) {
      const values = [tenantId, topic ?? null, status ?? null];
      const [items, topics] = await Promise.all([
        pool.query<RawOpen>(LIST, [...values, limit, skip]),
        pool.query<{ topic: string; available: number; leased: number; oldest: number | null }>(TOPICS, values),
      ]);
      return {
        items: items.rows.map(toOpen),
        total: topics.rows.reduce((sum, { available, leased }) => sum + available + leased, 0),
        topics: topics.rows.map(
          ({ oldest, ...depth }): TopicDepth => ({
            ...depth,
            oldestWaitingSeconds: oldest === null ? null : Math.max(0, oldest),
          }),
        ),
      };
    },
  };
}

/** A task that had its outcome before its run ended is no longer the run's matter. */
function refusal({ held, ended, status }: { held: boolean; ended: boolean; status: string }): NoLease {
  return held && ended && status === 'closed' ? 'ended' : 'lost';
}

function toWoken(raw: { run_id: string; action_id: string; epoch: number }): WokenTask {
  return { runId: raw.run_id, epoch: raw.epoch, actionId: raw.action_id };
}

function toLogged(raw: RawHeld): LoggedAttempt {
  const { run_id: runId, action_id: actionId, epoch, attempt, created_at: since, now } = raw;
  return { runId, actionId, epoch, attempt, since, now };
}

function toLeased(raw: RawLease): LeasedTask {
  return {
    taskId: raw.id,
    leaseToken: raw.lease_token,
    runId: raw.run_id,
    actionId: raw.action_id,
    attempt: raw.attempt,
    topic: raw.topic,
    input: raw.input,
    deadline: raw.deadline_at,
    leaseUntil: raw.lease_until,
  };
}

function toOpen(raw: RawOpen): OpenExternalTask {
  return {
    taskId: raw.id,
    runId: raw.run_id,
    actionId: raw.action_id,
    attempt: raw.attempt,
    topic: raw.topic,
    status: raw.status,
    priority: raw.priority,
    workerId: raw.worker_id,
    deliveries: raw.deliveries,
    leaseUntil: raw.lease_until,
    progress: raw.progress,
    createdAt: raw.created_at,
    deadline: raw.deadline_at,
  };
}
