/**
 * Approvals. What is asked is one row for each epoch of a run, opened by the task; what was decided is another, written
 * once: its key is what makes the first decision the only one. A deadline is a decision too, made by whoever looks first.
 */
import type pg from 'pg';
import { RECEPTIVE_RUNS } from '../../domain/runs/run-states.ts';
import { sqlList } from '../../store/core/states.ts';
import { persist } from '../../store/core/transient.ts';
import { readText, textPayload } from '../../store/payloads/payloads.ts';
import type {
  ApprovalDecision,
  ApprovalRow,
  ApprovalStore,
  DecisionRequest,
  DecisionResult,
  InboxTask,
} from '../signals/inbox-ports.ts';
import {
  countWake,
  holdRun,
  lookSoon,
  persistently,
  record,
  refusalOf,
  twice,
  Unchanged,
  unlessUnchanged,
} from '../signals/inbox-store.ts';
import { atDeadline, mayDecide, needsOtherEyes, type OnTimeout, type Verdict } from './domain.ts';

const OF_QUESTION = `a.run_id, a.epoch, a.action_id, a.tenant_id, ${readText('a.message')} AS message, a.approvers, a.four_eyes, a.on_timeout, a.escalate_to, a.period_seconds,
  (SELECT s.user_id FROM run s WHERE s.id = a.run_id) AS started_by,
  a.requested_at, a.deadline_at, a.escalated_at, coalesce(a.deadline_at <= now(), false) AS overdue, now() AS now`;
const COLUMNS = `${OF_QUESTION},
  d.decision, d.decided_by, d.comment, d.request_key, d.at`;
const WITH_DECISION = `approval a LEFT JOIN approval_decision d ON d.run_id = a.run_id AND d.epoch = a.epoch AND d.action_id = a.action_id`;

// A crowd of runs that ask at the same time is the usual one, so it is one statement, and its own transaction.
const OPEN = `
WITH opened AS (
  INSERT INTO approval (run_id, epoch, action_id, tenant_id, message, approvers, on_timeout, escalate_to, period_seconds, deadline_at, four_eyes)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $9::float8), $10)
  ON CONFLICT DO NOTHING RETURNING *
), logged AS (
  INSERT INTO event (run_id, action_id, epoch, kind, data)
  SELECT run_id, action_id, epoch, 'approval.requested', jsonb_build_object('approvers', approvers,
    'deadline', to_char(deadline_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    || CASE WHEN four_eyes THEN '{"four_eyes": true}' ELSE '{}' END::jsonb
  FROM opened
)
SELECT ${OF_QUESTION}, NULL AS decision, NULL AS decided_by, NULL AS comment, NULL AS request_key, NULL::timestamptz AS at FROM opened a`;

// The row of the question is what everybody who may change something about it locks.
const LOCK = `SELECT 1 FROM approval WHERE run_id = $1 AND epoch = $2 AND action_id = $3 FOR UPDATE`;
const ONE = `SELECT ${COLUMNS} FROM ${WITH_DECISION} WHERE a.run_id = $1 AND a.epoch = $2 AND a.action_id = $3`;
const NEWEST = `
SELECT ${COLUMNS} FROM ${WITH_DECISION} WHERE a.run_id = $1 AND a.action_id = $2 AND ($3::text IS NULL OR a.tenant_id = $3)
ORDER BY a.epoch DESC LIMIT 1`;

const ESCALATE = `
UPDATE approval SET approvers = escalate_to, escalated_at = now(), deadline_at = now() + make_interval(secs => period_seconds)
WHERE run_id = $1 AND epoch = $2 AND action_id = $3 RETURNING deadline_at`;

const DECIDE = `
WITH closed AS (UPDATE approval SET open = false WHERE run_id = $1 AND epoch = $2 AND action_id = $3)
INSERT INTO approval_decision (run_id, epoch, action_id, decision, decided_by, comment, via, request_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING at`;

// What can still be decided: of the present epoch of a live run, with a task that has not ended otherwise.
const PENDING = `
a.tenant_id = $1 AND a.open AND EXISTS (
  SELECT 1 FROM run r WHERE r.id = a.run_id AND r.epoch = a.epoch AND r.status IN ${sqlList(RECEPTIVE_RUNS)})
AND NOT EXISTS (SELECT 1 FROM task t WHERE t.run_id = a.run_id AND t.action_id = a.action_id AND t.final)`;
const DECIDED = `a.tenant_id = $1 AND NOT a.open`;
const FOR_APPROVER = `($2::text IS NULL OR (a.approvers = '{}' OR $2 = ANY (a.approvers))
  AND NOT (a.four_eyes AND EXISTS (SELECT 1 FROM run s WHERE s.id = a.run_id AND s.user_id = $2)))`;

interface Raw {
  run_id: string;
  epoch: number;
  action_id: string;
  tenant_id: string;
  message: string | null;
  approvers: string[];
  four_eyes: boolean;
  started_by: string;
  on_timeout: OnTimeout;
  escalate_to: string[];
  requested_at: Date;
  deadline_at: Date | null;
  escalated_at: Date | null;
  overdue: boolean;
  now: Date;
  decision: Verdict | null;
  decided_by: string | null;
  comment: string | null;
  request_key: string | null;
  at: Date | null;
}

export function createApprovalStore(pool: pg.Pool): ApprovalStore {
  return {
    async ask(task, tenantId, { approvers, message, timeoutSeconds, onTimeout, escalateTo, fourEyes }) {
      const key = [task.runId, task.epoch, task.actionId];
      const text = textPayload(message ?? null, tenantId);
      const asked = [tenantId, text, approvers, onTimeout, escalateTo, timeoutSeconds ?? null, fourEyes];
      const { rows } = await persist(() =>
        pool.query<Raw>({ name: 'open-approval', text: OPEN, values: [...key, ...asked] }),
      );
      const [opened] = rows;
      if (opened !== undefined && !opened.overdue) return toRow(opened);
      // It was open before; or its time was over as it began.
      return persistently(pool, async (client) => toRow(await settled(client, task)));
    },

    decide: (request) => twice(() => unlessUnchanged(pool, (client) => decide(client, request))),

    async find(tenantId, runId, actionId) {
      const { rows } = await pool.query<Raw>(NEWEST, [runId, actionId, tenantId ?? null]);
      const [raw] = rows;
      return raw === undefined ? undefined : { ...toRow(raw), now: raw.now };
    },

    async recordLink({ runId, epoch, actionId }, link) {
      await pool.query(
        `INSERT INTO event (run_id, action_id, epoch, kind, data) VALUES ($1, $2, $3, 'approval.link_issued', $4)`,
        [
          runId,
          actionId,
          epoch,
          JSON.stringify({ for: link.for, by: link.by, expires_at: link.expiresAt, via: link.via ?? 'answer' }),
        ],
      );
    },

    async list(tenantId, { status, approver, limit, skip }) {
      const where = `${status === 'pending' ? PENDING : DECIDED} AND ${FOR_APPROVER}`;
      const [page, counted] = await Promise.all([
        pool.query<Raw>(
          `SELECT ${COLUMNS} FROM ${WITH_DECISION} WHERE ${where}
           ORDER BY a.requested_at DESC, a.run_id DESC, a.action_id DESC LIMIT $3 OFFSET $4`,
          [tenantId, approver ?? null, limit, skip],
        ),
        pool.query<{ total: number }>(`SELECT count(*)::int AS total FROM approval a WHERE ${where}`, [
          tenantId,
          approver ?? null,
        ]),
      ]);
      return { items: page.rows.map(toRow), total: counted.rows[0]?.total ?? 0 };
    },
  };
}

async function decide(client: pg.PoolClient, request: DecisionRequest): Promise<DecisionResult> {
  const { tenantId, runId, actionId, verdict, by, link } = request;
  const refuse = (result: DecisionResult) => new Unchanged<DecisionResult>(result);
  // Tasks are locked before runs; what this counted is rolled back with a refusal.
  const isLive = await countWake(client, { runId, actionId }, 'approval');
  const run = await holdRun(client, tenantId, runId);
  if (run === undefined) throw refuse({ done: 'not_waiting' });
  const task: InboxTask = { runId, epoch: run.epoch, actionId };
  await client.query(LOCK, [runId, run.epoch, actionId]);
  const before = (await client.query<Raw>(NEWEST, [runId, actionId, tenantId])).rows[0];
  if (link !== undefined && (link.epoch !== run.epoch || before === undefined || link.expiresAt <= before.now)) {
    throw refuse({ done: 'link_over' });
  }
  const decided = before === undefined ? undefined : decisionOf(before);
  if (before !== undefined && decided !== undefined && (before.epoch === run.epoch || !isLive)) {
    const isSame =
      request.requestKey !== undefined &&
      before.request_key === request.requestKey &&
      before.decided_by === by &&
      decided.verdict === verdict;
    throw refuse(
      isSame
        ? { done: 'repeated', epoch: before.epoch, decision: decided }
        : { done: 'already_decided', decision: decided },
    );
  }
  const refusal = refusalOf(run);
  if (refusal !== undefined) throw refuse(refusal);
  if (!isLive) throw refuse({ done: 'already_decided', decision: undefined });
  if (before === undefined || before.epoch !== run.epoch) throw refuse({ done: 'not_waiting' });
  const now = await settled(client, task);
  // Its deadline has just decided; the task finds that out for itself.
  if (now.decision !== null) throw refuse({ done: 'already_decided', decision: decisionOf(now) });
  const deciders = { approvers: now.approvers, fourEyes: now.four_eyes, startedBy: now.started_by };
  if (!mayDecide(deciders, by)) {
    const why = needsOtherEyes(deciders, by) ? 'own_run' : 'not_approver';
    throw refuse({ done: link === undefined ? why : 'link_over' });
  }
  const decision = await write(client, task, request);
  await lookSoon(client, runId);
  return { done: 'decided', epoch: run.epoch, decision };
}

/** How it stands when all is done that is due by now: an escalation, or the end at the deadline. */
async function settled(client: pg.PoolClient, task: InboxTask): Promise<Raw> {
  const key = [task.runId, task.epoch, task.actionId];
  await client.query(LOCK, key);
  // Only now: the first reading would show what was before the lock.
  const raw = await readOne(client, key);
  if (raw.decision !== null) return raw;
  const due = atDeadline({
    approvers: raw.approvers,
    onTimeout: raw.on_timeout,
    escalateTo: raw.escalate_to,
    escalated: raw.escalated_at !== null,
    overdue: raw.overdue,
  });
  switch (due.next) {
    case 'wait':
      return raw;
    case 'escalate': {
      const { rows } = await client.query<{ deadline_at: Date | null }>(ESCALATE, key);
      const deadline = rows[0]?.deadline_at?.toISOString() ?? null;
      await record(client, task, 'approval.escalated', { from: raw.approvers, to: raw.escalate_to, deadline });
      return readOne(client, key);
    }
    case 'end':
      await write(client, task, { verdict: due.verdict, by: null, comment: UNDECIDED, via: 'deadline' });
      return readOne(client, key);
  }
}

async function readOne(client: pg.PoolClient, key: readonly unknown[]): Promise<Raw> {
  const { rows } = await client.query<Raw>(ONE, [...key]);
  const [raw] = rows;
  if (raw === undefined) throw new Error(`the approval ${key.join(' ')} is gone`);
  return raw;
}

const UNDECIDED = 'nobody decided before the deadline';

interface Decision {
  verdict: Verdict;
  by: string | null;
  comment?: string | null | undefined;
  via: 'request' | 'link' | 'deadline';
  requestKey?: string | undefined;
}

async function write(
  client: pg.PoolClient,
  task: InboxTask,
  { verdict, by, comment = null, via, requestKey }: Decision,
): Promise<ApprovalDecision> {
  const key = [task.runId, task.epoch, task.actionId];
  const { rows } = await client.query<{ at: Date }>(DECIDE, [...key, verdict, by, comment, via, requestKey ?? null]);
  const at = rows[0]?.at;
  if (at === undefined) throw new Error('an insert that returns its row has returned none');
  await record(client, task, `approval.${verdict}`, { by, comment, via });
  return { verdict, by, comment, at };
}

function toRow(raw: Raw): ApprovalRow {
  return {
    runId: raw.run_id,
    epoch: raw.epoch,
    actionId: raw.action_id,
    tenantId: raw.tenant_id,
    message: raw.message,
    approvers: raw.approvers,
    fourEyes: raw.four_eyes,
    startedBy: raw.started_by,
    requestedAt: raw.requested_at,
    deadline: raw.deadline_at ?? undefined,
    escalatedAt: raw.escalated_at ?? undefined,
    decision: decisionOf(raw),
  };
}

function decisionOf({ decision, decided_by: by, comment, at }: Raw): ApprovalDecision | undefined {
  return decision === null || at === null ? undefined : { verdict: decision, by, comment, at };
}
