/** What PostgreSQL knows of a run that does not end. Reads only, each within a few seconds (see `openDiagnosisPool`). */
import type pg from 'pg';
import { ALIVE_SECONDS } from '../../domain/health/liveness.ts';
import { waitsForSlot } from '../../store/accept/concurrency.ts';
import { IN_WINDOW, waitsForWindow } from '../../store/accept/window.ts';
import { needsRepair } from '../../store/core/transient.ts';
import { readText } from '../../store/payloads/payloads.ts';
import { definitionRef, type RawRun } from '../../store/runs/run-row.ts';
import { waitsOf } from '../../store/views/waiting-for.ts';
import type { ControlAct, ExternalFact, RunFact, TaskFact, WhyError } from './facts.ts';
import type { OpenChild, PausedLane, WhyRun, WhyStore } from './ports.ts';

/** Statements wait for each other for moments all the time. */
const BLOCKED_SECONDS = 1;
const MAX_AHEAD = 10_000;
const HOLDERS = 5;
/** Somebody has locked the table, or the statement took too long. */
const NOT_IN_TIME = new Set(['55P03', '57014']);

/** Of its own: the pool of the process may be what is stuck. Nothing it asks may wait, or write. */
export const DIAGNOSIS_OPTIONS = '-c default_transaction_read_only=on -c statement_timeout=3000 -c lock_timeout=1000';

const ms = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8`;

// The nearest above that goes on by a resume of its own.
const PAUSED_WITH = `
WITH RECURSIVE up AS (
  SELECT p.id, p.parent_run_id, p.paused_with_parent, 1 AS height FROM run p WHERE p.id = r.parent_run_id
  UNION ALL
  SELECT p.id, p.parent_run_id, p.paused_with_parent, up.height + 1
  FROM up JOIN run p ON p.id = up.parent_run_id WHERE up.paused_with_parent AND up.height < 100
)
SELECT id FROM up ORDER BY height DESC LIMIT 1`;

const RUN = `
SELECT r.id, r.tenant_id, r.workflow_id, r.workflow_version, r.inline, r.epoch, r.status, r.final, r.cancel_reason, r.waits_for_slot, r.saga,
       ${ms('r.created_at')} AS created, ${ms('r.finished_at')} AS finished, ${ms('r.due_at')} AS due, ${ms('r.deadline_at')} AS deadline,
       ${ms('r.check_at')} AS checked, r.left_queue, ${ms('now()')} AS now, w.status AS workflow_status,
       CASE WHEN r.status = 'paused' AND r.paused_with_parent THEN (${PAUSED_WITH}) END AS paused_with,
       (SELECT jsonb_object_agg(e.kind, jsonb_build_object('at', ${ms('e.at')}, 'by', e.data->>'by', 'reason', e.data->>'reason'))
        FROM (SELECT DISTINCT ON (kind) kind, at, data FROM event
              WHERE run_id = r.id AND epoch = r.epoch AND kind IN ('run.paused', 'run.cancelling') ORDER BY kind, id DESC) AS e) AS told
FROM run r LEFT JOIN workflow w ON w.id = r.workflow_id
WHERE r.tenant_id = $1 AND r.id = $2`;

// Of parts only the open ones, and no outputs.
const TASKS = `
SELECT t.action_id, t.status, t.final, t.tolerated, greatest(t.attempt, t.ended_attempt) AS attempts, t.deliveries, t.worker, t.parent_id,
       ${ms('t.wake_at')} AS wake, ${ms('t.not_before')} AS due, ${ms('t.started_at')} AS started, ${ms('t.finished_at')} AS finished, ${ms('t.updated_at')} AS updated,
       CASE WHEN NOT t.final OR t.status = 'failed' THEN coalesce(t.error, (
         SELECT a.error FROM attempt a WHERE a.run_id = t.run_id AND a.action_id = t.action_id AND a.epoch = t.epoch
         ORDER BY a.attempt DESC LIMIT 1)) END AS error,
       p.percent, ${readText('p.message')} AS said, ${ms('p.at')} AS said_at
FROM task t LEFT JOIN task_report p ON NOT t.final AND p.run_id = t.run_id AND p.action_id = t.action_id AND p.epoch = t.epoch
WHERE t.run_id = $1 AND (t.parent_id IS NULL OR NOT t.final) ORDER BY t.parent_id NULLS FIRST LIMIT 20000`;

const PARTS = `
SELECT parent_id AS parent, count(*)::int AS total, count(*) FILTER (WHERE NOT final)::int AS open
FROM task WHERE run_id = $1 AND parent_id IS NOT NULL GROUP BY 1`;

const WORKERS = `
SELECT id, lanes, version, ${ms('seen_at')} AS seen, seen_at > now() - interval '${ALIVE_SECONDS} seconds' AS alive, ${ms('now()')} AS now FROM worker`;

// What sessions wait for is shown of others only to a role that may see all statistics. Locks are shown to everybody.
const BLOCKED = `
WITH waiting AS MATERIALIZED (
  SELECT l.pid, min(l.waitstart) AS since, s.application_name FROM pg_locks l JOIN pg_stat_activity s ON s.pid = l.pid
  WHERE NOT l.granted AND s.datname = current_database() AND s.application_name LIKE 'orchestrator-%' GROUP BY l.pid, s.application_name
)
SELECT count(*)::int AS sessions, coalesce(max(${ms('clock_timestamp() - w.since')}), 0) AS longest,
       array(SELECT DISTINCT b.application_name || ' (pid ' || b.pid || ')' FROM pg_stat_activity b
             WHERE b.pid = ANY (array(SELECT unnest(pg_blocking_pids(o.pid)) FROM waiting o))
               AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = b.pid AND NOT l.granted) LIMIT 5) AS by
FROM waiting w
WHERE w.application_name LIKE 'orchestrator-worker%' AND w.since < clock_timestamp() - interval '${BLOCKED_SECONDS} seconds'`;

const CIRCUITS = `
SELECT DISTINCT ON (c.name) c.name, c.state, ${ms('c.since')} AS since, c.worker, c.instance_id FROM service_circuit c
WHERE c.tenant_id = $1 AND (c.since > now() - interval '${ALIVE_SECONDS} seconds'
  OR EXISTS (SELECT 1 FROM worker w WHERE w.id = c.worker AND w.seen_at > now() - interval '${ALIVE_SECONDS} seconds'))
ORDER BY c.name, c.state DESC, c.since`;

const EXTERNALS = `
SELECT DISTINCT ON (e.action_id) e.action_id, e.topic, e.status, e.worker_id, e.deliveries, ${ms('e.lease_until')} AS lease,
       ${ms('e.deadline_at')} AS deadline, ${ms('e.created_at')} AS created,
       (SELECT count(*)::int FROM (SELECT 1 FROM external_task o WHERE o.tenant_id = e.tenant_id AND o.topic = e.topic
          AND o.status = 'leased' AND o.lease_until > now() LIMIT 1000) AS leased) AS leased_of_topic
FROM external_task e WHERE e.run_id = $1 AND e.epoch = $2 AND e.action_id = ANY ($3::text[])
ORDER BY e.action_id, e.attempt DESC`;

const CHILDREN = `
SELECT DISTINCT ON (parent_action_id) parent_action_id AS "actionId", id AS "runId", status, ${ms('created_at')} AS "createdAt", final
FROM run WHERE parent_run_id = $1 AND parent_action_id = ANY ($2::text[])
ORDER BY parent_action_id, parent_epoch DESC, parent_attempt DESC`;

// As the indexes \`run_waiting_for_slot\` and \`run_holding_slot\` have them.
const GROUP = `
SELECT r.concurrency_key AS key, r.concurrency_limit AS limit,
  array(SELECT h.id FROM run h WHERE h.tenant_id = r.tenant_id AND h.workflow_id = r.workflow_id AND h.concurrency_key = r.concurrency_key
    AND h.concurrency_key IS NOT NULL AND h.waits_for_slot IS NULL AND NOT h.final ORDER BY h.id LIMIT ${HOLDERS}) AS holders,
  (SELECT count(*)::int FROM (SELECT 1 FROM run w WHERE w.tenant_id = r.tenant_id AND w.workflow_id = r.workflow_id
    AND w.concurrency_key = r.concurrency_key AND ${waitsForSlot('w.')}
    AND (w.priority, coalesce(w.deadline_at, 'infinity'), w.created_at, w.id)
      < (r.priority, coalesce(r.deadline_at, 'infinity'), r.created_at, r.id) LIMIT ${MAX_AHEAD}) AS before) AS behind
FROM run r WHERE r.id = $1`;

const WINDOW = `
SELECT (SELECT count(*)::int FROM (${IN_WINDOW('1', '$2 * 2')}) AS live) AS used,
       (SELECT count(*)::int FROM (${IN_WINDOW('1', '$2 * 2', 'run.tenant_id = r.tenant_id')}) AS own) AS of_tenant,
       (SELECT count(*)::int FROM (SELECT 1 FROM run p WHERE p.tenant_id = r.tenant_id
          AND ${waitsForWindow('p.')}
          AND (p.priority, coalesce(p.deadline_at, 'infinity'), p.created_at, p.id)
            < (r.priority, coalesce(r.deadline_at, 'infinity'), r.created_at, r.id) LIMIT ${MAX_AHEAD}) AS before) AS ahead
FROM run r WHERE r.id = $1`;

type RawHead = Pick<
  RawRun,
  'id' | 'tenant_id' | 'workflow_id' | 'workflow_version' | 'inline' | 'epoch' | 'status' | 'final'
> & {
  cancel_reason: string | null;
  waits_for_slot: boolean | null;
  saga: boolean | null;
  created: number;
  finished: number | null;
  due: number | null;
  deadline: number | null;
  checked: number;
  left_queue: boolean | null;
  now: number;
  workflow_status: string | null;
  paused_with: string | null;
  told: Record<string, { at: number; by: string | null; reason: string | null }> | null;
};

interface RawTask {
  action_id: string;
  status: string;
  final: boolean;
  tolerated: boolean;
  attempts: number;
  deliveries: number;
  worker: string | null;
  wake: number | null;
  due: number | null;
  started: number | null;
  finished: number | null;
  updated: number;
  error: unknown;
  percent: number | null;
  said: string | null;
  said_at: number | null;
}

/** `pool`: of the tenant that asks; `everyTenant`: for what is nobody's alone, of which only numbers are shown. */
export function createWhyStore(pool: pg.Pool, everyTenant: pg.Pool): WhyStore {
  return {
    async run(tenantId, runId) {
      const { rows } = await pool.query<RawHead>(RUN, [tenantId, runId]);
      const row = rows[0];
      return row && toWhyRun(row);
    },
    async tasks({ run }) {
      try {
        const { rows } = await pool.query<RawTask>(TASKS, [run.id]);
        const parts = await pool.query<{ parent: string; total: number; open: number }>(PARTS, [run.id]);
        return {
          tasks: new Map(rows.map((row) => [row.action_id, toTask(row)])),
          parts: new Map(parts.rows.map(({ parent, total, open }) => [parent, { total, open }])),
        };
      } catch (error) {
        if (NOT_IN_TIME.has(codeOf(error)) || needsRepair(error)) return undefined;
        throw error;
      }
    },
    async surroundings(tenantId) {
      const [workers, passes, paused, blocked, circuits] = await Promise.all([
        everyTenant.query<{ id: string; lanes: string[]; version: string; seen: number; alive: boolean }>(WORKERS),
        everyTenant.query<{ at: number; worker: string; now: number }>(
          `SELECT s.worker, ${ms('s.at')} AS at, ${ms('now()')} AS now FROM (SELECT 1) AS one LEFT JOIN sweep_pass s ON true`,
        ),
        everyTenant.query<PausedLane>(
          `SELECT lane, tenant_id AS "tenantId", by, reason, ${ms('since')} AS since FROM lane_pause`,
        ),
        everyTenant.query<{ sessions: number; longest: number; by: string[] }>(BLOCKED),
        everyTenant.query<{ name: string; state: string; since: number; worker: string; instance_id: string }>(
          CIRCUITS,
          [tenantId],
        ),
      ]);
      const pass = passes.rows[0];
      const locks = blocked.rows[0];
      return {
        now: pass?.now ?? 0,
        workers: workers.rows.map(({ id, lanes, version, seen, alive }) => ({
          id,
          lanes,
          version,
          seenAt: seen,
          alive,
        })),
        lastPass: pass === undefined || pass.worker === null ? undefined : { at: pass.at, worker: pass.worker },
        paused: paused.rows,
        blocked:
          locks === undefined || locks.sessions === 0
            ? undefined
            : { sessions: locks.sessions, longestMs: locks.longest, by: locks.by },
        circuits: new Map(
          circuits.rows.map(({ name, state, since, worker, instance_id }) => [
            name,
            { state, since, worker, instanceId: instance_id },
          ]),
        ),
      };
    },
    async waits({ run, epoch }, actionIds) {
      const waits = await waitsOf(pool, { id: run.id, epoch }, actionIds);
      return { waits, since: new Map([...waits].map(([id, wait]) => [id, Number(wait.since)])) };
    },
    async externals({ run, epoch }, actionIds) {
      if (actionIds.length === 0) return new Map();
      const { rows } = await pool.query<{
        action_id: string;
        topic: string;
        status: string;
        worker_id: string | null;
        deliveries: number;
        lease: number | null;
        deadline: number;
        created: number;
        leased_of_topic: number;
      }>(EXTERNALS, [run.id, epoch, actionIds]);
      return new Map(
        rows.map((row): [string, ExternalFact] => [
          row.action_id,
          {
            topic: row.topic,
            status: row.status,
            workerId: row.worker_id ?? undefined,
            leaseUntil: row.lease ?? undefined,
            deadlineAt: row.deadline,
            createdAt: row.created,
            deliveries: row.deliveries,
            leasedOfTopic: row.leased_of_topic,
          },
        ]),
      );
    },
    async children({ run }, actionIds) {
      const { rows } = await pool.query<OpenChild & { final: boolean }>(CHILDREN, [run.id, actionIds]);
      return rows.filter((child) => !child.final).map(({ final: _, ...child }) => child);
    },
    async rateSlots(keys, ids) {
      const { rows } = await everyTenant.query<{ id: string; at: number }>(
        `SELECT id, ${ms('at')} AS at FROM service_turn WHERE key = ANY ($1::text[]) AND id = ANY ($2::text[])`,
        [keys, ids],
      );
      return new Map(rows.map(({ id, at }) => [id, at]));
    },
    async group({ run }) {
      const { rows } = await pool.query<{ key: string; limit: number; holders: string[]; behind: number }>(GROUP, [
        run.id,
      ]);
      return rows[0];
    },
    async window({ run }, size) {
      const { rows } = await everyTenant.query<{ used: number; of_tenant: number; ahead: number }>(WINDOW, [
        run.id,
        size,
      ]);
      const { used = 0, of_tenant = 0, ahead = 0 } = rows[0] ?? {};
      return { used, size, ahead, ofTenant: of_tenant };
    },
  };
}

function toWhyRun(row: RawHead): WhyRun {
  const told = (kind: string): ControlAct | undefined => {
    const one = row.told?.[kind];
    return one && { at: one.at, by: one.by ?? undefined, reason: one.reason ?? undefined };
  };
  const run: RunFact = {
    id: row.id,
    status: row.status,
    final: row.final,
    createdAt: row.created,
    finishedAt: row.finished ?? undefined,
    dueAt: row.due ?? undefined,
    deadlineAt: row.deadline ?? undefined,
    cancelReason: row.cancel_reason ?? undefined,
    workflowStatus: row.workflow_status ?? undefined,
    checkAt: row.checked,
    leftQueue: row.left_queue === true,
    isSaga: row.saga === true,
    paused: told('run.paused'),
    pausedWith: row.paused_with ?? undefined,
    cancelling: told('run.cancelling'),
  };
  const waitsForSlot = row.status === 'pending' && row.waits_for_slot === true && row.due === null;
  return { run, now: row.now, tenantId: row.tenant_id, epoch: row.epoch, of: definitionRef(row), waitsForSlot };
}

function toTask(row: RawTask): TaskFact {
  return {
    status: row.status,
    final: row.final,
    tolerated: row.tolerated,
    attempts: row.attempts,
    deliveries: row.deliveries,
    wakeAt: row.wake ?? undefined,
    notBefore: row.due ?? undefined,
    worker: row.worker ?? undefined,
    startedAt: row.started ?? undefined,
    finishedAt: row.finished ?? undefined,
    updatedAt: row.updated,
    error: toError(row.error),
    progress: row.said_at === null ? undefined : { percent: row.percent, message: row.said, at: row.said_at },
  };
}

function toError(error: unknown): WhyError | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
  const message = 'message' in error && typeof error.message === 'string' ? error.message : '';
  return { code, message };
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}
