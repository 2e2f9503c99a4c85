/** Groups of failures, read and marked. A tenant has at most a thousand, so they are filtered where they lie. */
import type pg from 'pg';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import { readText } from '../../store/payloads/payloads.ts';
import type { ErrorGroup, ErrorGroupStore, GroupDetails, GroupState } from './error-groups.ts';

/** Of a group, to find the newest runs among. */
const FAILURES_LOOKED_AT = 500;
const RECENT_RUNS = 20;

const COLUMNS = `fingerprint, action_type, workflow_id, action_id, ${readText('code')} AS code,
  ${readText('template')} AS template, ${readText('message')} AS message, run_id, failed_attempts::float8 AS failed_attempts,
  failed_tasks::float8 AS failed_tasks, runs::float8 AS runs, first_seen, last_seen, state, state_by, state_at, regressions`;

const MATCHING = `
FROM error_group WHERE tenant_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR workflow_id = $3)
  AND ($4::text IS NULL OR action_type = $4) AND ($5::timestamptz IS NULL OR last_seen >= $5)
  AND ($6::timestamptz IS NULL OR first_seen < $6)`;

const SORTED_BY = {
  last_seen: `(extract(epoch FROM last_seen) * 1000)::float8`,
  count: `failed_attempts::float8`,
} as const;

const RECENT = `
SELECT f.run_id, r.status, count(*)::int AS failures, max(f.at) AS last_at FROM (
  SELECT run_id, at FROM task_failure WHERE tenant_id = $1 AND fingerprint = $2 ORDER BY at DESC LIMIT ${FAILURES_LOOKED_AT}
) f JOIN run r ON r.id = f.run_id AND r.tenant_id = $1
GROUP BY f.run_id, r.status ORDER BY max(f.at) DESC, f.run_id LIMIT ${RECENT_RUNS}`;

const HOURS = `
SELECT h.at AS from, count(f.at)::int AS failures
FROM generate_series(date_trunc('hour', now()) - interval '23 hours', date_trunc('hour', now()), interval '1 hour') AS h(at)
LEFT JOIN task_failure f ON f.tenant_id = $1 AND f.fingerprint = $2 AND f.at >= h.at AND f.at < h.at + interval '1 hour'
GROUP BY h.at ORDER BY h.at`;

interface RawGroup {
  fingerprint: string;
  action_type: string;
  workflow_id: string | null;
  action_id: string;
  code: string;
  template: string;
  message: string;
  run_id: string | null;
  failed_attempts: number;
  failed_tasks: number;
  runs: number;
  first_seen: Date;
  last_seen: Date;
  state: GroupState;
  state_by: string | null;
  state_at: Date | null;
  regressions: number;
}
interface RawRecent {
  run_id: string;
  status: RunStatus;
  failures: number;
  last_at: Date;
}

export function createErrorGroupStore(pool: pg.Pool): ErrorGroupStore {
  return {
    async list(tenantId, { state, workflowId, actionType, from, to }, { order, limit, after }) {
      const values = [tenantId, state ?? null, workflowId ?? null, actionType ?? null, from ?? null, to ?? null];
      const by = SORTED_BY[order];
      const [{ rows }, counted] = await Promise.all([
        pool.query<RawGroup>(
          `SELECT ${COLUMNS} ${MATCHING} AND ($7::float8 IS NULL OR (${by}, fingerprint) < ($7, $8))
           ORDER BY ${by} DESC, fingerprint DESC LIMIT $9`,
          [...values, after?.value ?? null, after?.fingerprint ?? null, limit + 1],
        ),
        pool.query<{ total: number }>(`SELECT count(*)::int AS total ${MATCHING}`, values),
      ]);
      const total = counted.rows[0]?.total ?? 0;
      return { items: rows.slice(0, limit).map(toGroup), total, more: rows.length > limit };
    },
    async find(tenantId, fingerprint): Promise<Omit<GroupDetails, 'waiting'> | undefined> {
      const key = [tenantId, fingerprint];
      const { rows } = await pool.query<RawGroup>(
        `SELECT ${COLUMNS} FROM error_group WHERE tenant_id = $1 AND fingerprint = $2`,
        key,
      );
      const [group] = rows;
      if (group === undefined) return undefined;
      const [recent, hours] = await Promise.all([
        pool.query<RawRecent>(RECENT, key),
        pool.query<{ from: Date; failures: number }>(HOURS, key),
      ]);
      return {
        ...toGroup(group),
        recent: recent.rows.map(({ run_id: runId, status, failures, last_at: lastAt }) => ({
          runId,
          status,
          failures,
          lastAt,
        })),
        hours: hours.rows,
      };
    },
    async setState({ tenantId, userId }, fingerprint, state) {
      const { rows } = await pool.query<RawGroup>(
        `UPDATE error_group SET state = $3, state_by = $4, state_at = now() WHERE tenant_id = $1 AND fingerprint = $2
         RETURNING ${COLUMNS}`,
        [tenantId, fingerprint, state, userId],
      );
      return rows[0] === undefined ? undefined : toGroup(rows[0]);
    },
  };
}

function toGroup(raw: RawGroup): ErrorGroup {
  return {
    fingerprint: raw.fingerprint,
    actionType: raw.action_type,
    workflowId: raw.workflow_id,
    actionId: raw.action_id,
    code: raw.code,
    template: raw.template,
    message: raw.message,
    runId: raw.run_id,
    failedAttempts: raw.failed_attempts,
    failedTasks: raw.failed_tasks,
    runs: raw.runs,
    firstSeen: raw.first_seen,
    lastSeen: raw.last_seen,
    state: raw.state,
    stateBy: raw.state_by,
    stateAt: raw.state_at,
    regressions: raw.regressions,
  };
}
