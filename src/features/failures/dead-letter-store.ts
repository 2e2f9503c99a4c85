/** The dead letters: rows of tasks that failed for good. One index has them all, and little else. */

import type pg from 'pg';
import { SAGA } from '../../domain/runs/saga.ts';
import { mayMove } from '../../store/core/states.ts';
import { IS_DEAD } from '../../store/health/dead-letters.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetterStats, DeadLetterStore } from './ports.ts';

/** A compensation is retried where the compensation failed, anything else where the run did. */
const canBeRetried = (statuses: string) =>
  `r.final AND CASE WHEN t.parent_id = '${SAGA}' THEN ${mayMove('retryCompensation', 'r.status')} ELSE r.status = ANY(${statuses}::text[]) END`;
const FROM_DEAD = `FROM task t JOIN run r ON r.id = t.run_id`;

const NONE: DeadLetterStats = { failed: 0, retryable: 0, retried: 0, oldest: null, newest: null };

interface Sql {
  where: string;
  values: unknown[];
}

export function createDeadLetterStore(pool: pg.Pool): DeadLetterStore {
  const count = async (tenantId: string, filter: DeadLetterFilter): Promise<number> => {
    const { where, values } = conditions(tenantId, filter);
    const { rows } = await pool.query<{ total: number }>(
      `SELECT count(*)::int AS total ${FROM_DEAD} WHERE ${where}`,
      values,
    );
    return rows[0]?.total ?? 0;
  };

  return {
    count,
    async list(tenantId, filter, { limit, after }, retryable) {
      const { where, values } = conditions(tenantId, filter);
      const keyset =
        after === undefined
          ? ''
          : `AND (t.finished_at, t.run_id, t.action_id)
               < ($${values.push(after.failedAt)}, $${values.push(after.runId)}, $${values.push(after.actionId)})`;
      const text = `
        SELECT t.run_id AS "runId", t.action_id AS "actionId", t.action_type AS "actionType", r.workflow_id AS "workflowId",
               r.workflow_version AS "workflowVersion", t.error, greatest(t.attempt, t.ended_attempt) AS attempts, r.epoch,
               r.status AS "runStatus", ${canBeRetried(`$${values.push(retryable)}`)} AS retryable,
               r.correlation_id AS "correlationId", r.trace_id AS "traceId", t.finished_at AS "finishedAt"
        ${FROM_DEAD} WHERE ${where} ${keyset}
        ORDER BY t.finished_at DESC, t.run_id DESC, t.action_id DESC LIMIT $${values.push(limit + 1)}`;
      const [{ rows }, total] = await Promise.all([pool.query<DeadLetter>(text, values), count(tenantId, filter)]);
      return { items: rows.slice(0, limit), total, more: rows.length > limit };
    },
    async stats(tenantId, retryable) {
      const { rows } = await pool.query<DeadLetterStats>(
        `SELECT count(*)::int AS failed, min(t.finished_at) AS oldest, max(t.finished_at) AS newest,
                (count(*) FILTER (WHERE ${canBeRetried('$2')}))::int AS retryable,
                (SELECT count(*)::int FROM event e JOIN run o ON o.id = e.run_id
                 WHERE e.kind = 'task.retried' AND o.tenant_id = $1) AS retried
         ${FROM_DEAD} WHERE ${IS_DEAD} AND r.tenant_id = $1`,
        [tenantId, retryable],
      );
      return rows[0] ?? NONE;
    },
    async runsOf(tenantId, filter, retryable, limit) {
      const { where, values } = conditions(tenantId, filter);
      const { rows } = await pool.query<{ run_id: string; tasks: number }>(
        `SELECT t.run_id, count(*)::int AS tasks ${FROM_DEAD}
         WHERE ${where} AND ${canBeRetried(`$${values.push(retryable)}`)}
         GROUP BY t.run_id ORDER BY min(t.finished_at), t.run_id LIMIT $${values.push(limit)}`,
        values,
      );
      return rows.map(({ run_id, tasks }) => ({ runId: run_id, tasks }));
    },
    async discard(tenantId, filter, by, limit) {
      const { where, values } = conditions(tenantId, filter);
      const { rows } = await pool.query<{ discarded: number }>(
        `WITH chosen AS MATERIALIZED (
           SELECT t.run_id, t.action_id ${FROM_DEAD} WHERE ${where}
           ORDER BY t.run_id, t.action_id LIMIT $${values.push(limit)} FOR UPDATE OF t
         ), d AS (
           UPDATE task t SET discarded_at = now() FROM chosen c
           WHERE t.run_id = c.run_id AND t.action_id = c.action_id AND ${IS_DEAD}
           RETURNING t.run_id, t.action_id, t.epoch
         ), e AS (
           INSERT INTO event (run_id, action_id, epoch, kind, data)
           SELECT run_id, action_id, epoch, 'task.discarded', jsonb_build_object('by', $${values.push(by)}::text) FROM d
         )
         SELECT count(*)::int AS discarded FROM d`,
        values,
      );
      return rows[0]?.discarded ?? 0;
    },
  };
}

function conditions(tenantId: string, filter: DeadLetterFilter): Sql {
  const values: unknown[] = [tenantId];
  const parts = [IS_DEAD, 'r.tenant_id = $1'];
  const add = (column: string, value: unknown) => {
    if (value !== undefined) parts.push(`${column} $${values.push(value)}`);
  };
  add('t.action_type =', filter.actionType);
  add('r.workflow_id =', filter.workflowId);
  add(`t.error->>'code' =`, filter.errorCode);
  add('t.finished_at >=', filter.from);
  add('t.finished_at <', filter.to);
  add('r.epoch <=', filter.retriedBelow);
  if (filter.fingerprint !== undefined) {
    parts.push(`EXISTS (SELECT FROM task_failure f WHERE f.run_id = t.run_id AND f.action_id = t.action_id AND f.epoch = t.epoch
      AND f.final AND f.fingerprint = $${values.push(filter.fingerprint)})`);
  }
  if (filter.tasks !== undefined) {
    const runs = values.push(filter.tasks.map(({ runId }) => runId));
    const actions = values.push(filter.tasks.map(({ actionId }) => actionId));
    parts.push(`(t.run_id, t.action_id) IN (SELECT * FROM unnest($${runs}::text[], $${actions}::text[]))`);
  }
  return { where: parts.join(' AND '), values };
}
