/**
 * Approvals. What is asked is one row for each epoch of a run, opened by the task; what was decided is another, written
 * once: its key is what makes the first decision the only one. A deadline is a decision too, made by whoever looks first.
 */
import type pg from 'pg';
import { RECEPTIVE_RUNS } from '../../domain/runs/run-states.ts';
import { columnsOf } from '../../store/core/columns.ts';
import { sqlList } from '../../store/core/states.ts';
import { persist } from '../../store/core/transient.ts';
import type { Prisma } from '../../store/generated/client.ts';
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

const QUESTION = {
  ...{ runId: true, epoch: true, actionId: true, tenantId: true, approvers: true, fourEyes: true, onTimeout: true },
  ...{ escalateTo: true, requestedAt: true, deadlineAt: true, escalatedAt: true },
};
const ANSWER = { decision: true, decidedBy: true, comment: true, requestKey: true, at: true };

const OF_QUESTION = `${columnsOf(QUESTION, { table: 'a' })}, ${readText('a.message')} AS message,
  (SELECT s.user_id FROM run s WHERE s.id = a.run_id) AS "startedBy",
  coalesce(a.deadline_at <= now(), false) AS overdue, now() AS now`;
const COLUMNS = `${OF_QUESTION}, ${columnsOf(ANSWER, { table: 'd' })}`;
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
SELECT ${OF_QUESTION}, NULL AS decision, NULL AS "decidedBy", NULL AS comment, NULL AS "requestKey", NULL::timestamptz AS at FROM opened a`;

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

type Question = Prisma.ApprovalGetPayload<{ select: typeof QUESTION }>;
type Answer = Prisma.ApprovalDecisionGetPayload<{ select: typeof ANSWER }>;
/** Null: nobody has decided yet. */
type Row = Question & { [Name in keyof Answer]: Answer[Name] | null } & {
  message: string | null;
  startedBy: string;
  overdue: boolean;
  now: Date;
};

export function createApprovalStore(pool: pg.Pool): ApprovalStore {
  return {
    async request(task, tenantId, { approvers, message, timeoutSeconds, onTimeout, escalateTo, fourEyes }) {
      const key = [task.runId, task.epoch, task.actionId];
      const text = textPayload(message ?? null, tenantId);
      const asked = [tenantId, text, approvers, onTimeout, escalateTo, timeoutSeconds ?? null, fourEyes];
      const { rows } = await persist(() =>
        pool.query<Row>({ name: 'open-approval', text: OPEN, values: [...key, ...asked] }),
      );
      const [opened] = rows;
      if (opened !== undefined && !opened.overdue) return toRow(opened);
      // It was open before; or its time was over as it began.
      return persistently(pool, async (client) => toRow(await settled(client, task)));
    },

    decide: (request) => twice(() => unlessUnchanged(pool, (client) => decide(client, request))),

    async find(tenantId, runId, actionId) {
      const { rows } = await pool.query<Row>(NEWEST, [runId, actionId, tenantId ?? null]);
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
        pool.query<Row>(
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
  const before = (await client.query<Row>(NEWEST, [runId, actionId, tenantId])).rows[0];
  if (link !== undefined && (link.epoch !== run.epoch || before === undefined || link.expiresAt <= before.now)) {
    throw refuse({ done: 'link_over' });
  }
  const decided = before === undefined ? undefined : decisionOf(before);
  if (before !== undefined && decided !== undefined && (before.epoch === run.epoch || !isLive)) {
    const isSame =
      request.requestKey !== undefined &&
      before.requestKey === request.requestKey &&
      before.decidedBy === by &&
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
  const deciders = { approvers: now.approvers, fourEyes: now.fourEyes, startedBy: now.startedBy };
  if (!mayDecide(deciders, by)) {
    const why = needsOtherEyes(deciders, by) ? 'own_run' : 'not_approver';
    throw refuse({ done: link === undefined ? why : 'link_over' });
  }
  const decision = await write(client, task, request);
  await lookSoon(client, runId);
  return { done: 'decided', epoch: run.epoch, decision };
}

/** How it stands when all is done that is due by now: an escalation, or the end at the deadline. */
async function settled(client: pg.PoolClient, task: InboxTask): Promise<Row> {
  const key = [task.runId, task.epoch, task.actionId];
  await client.query(LOCK, key);
  // Only now: the first reading would show what was before the lock.
  const raw = await readOne(client, key);
  if (raw.decision !== null) return raw;
  const due = atDeadline({
    approvers: raw.approvers,
    onTimeout: raw.onTimeout as OnTimeout,
    escalateTo: raw.escalateTo,
    escalated: raw.escalatedAt !== null,
    overdue: raw.overdue,
  });
  switch (due.next) {
    case 'wait':
      return raw;
    case 'escalate': {
      const { rows } = await client.query<{ deadline_at: Date | null }>(ESCALATE, key);
      const deadline = rows[0]?.deadline_at?.toISOString() ?? null;
      await record(client, task, 'approval.escalated', { from: raw.approvers, to: raw.escalateTo, deadline });
      return readOne(client, key);
    }
    case 'end':
      await write(client, task, { verdict: due.verdict, by: null, comment: UNDECIDED, via: 'deadline' });
      return readOne(client, key);
  }
}

async function readOne(client: pg.PoolClient, key: readonly unknown[]): Promise<Row> {
  const { rows } = await client.query<Row>(ONE, [...key]);
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

function toRow(raw: Row): ApprovalRow {
  return {
    runId: raw.runId,
    epoch: raw.epoch,
    actionId: raw.actionId,
    tenantId: raw.tenantId,
    message: raw.message,
    approvers: raw.approvers,
    fourEyes: raw.fourEyes,
    startedBy: raw.startedBy,
    requestedAt: raw.requestedAt,
    deadline: raw.deadlineAt ?? undefined,
    escalatedAt: raw.escalatedAt ?? undefined,
    decision: decisionOf(raw),
  };
}

function decisionOf({ decision, decidedBy: by, comment, at }: Row): ApprovalDecision | undefined {
  return decision === null || at === null ? undefined : { verdict: decision as Verdict, by, comment, at };
}
