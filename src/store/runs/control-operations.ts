/** Operations on all live runs of a workflow: the intent, its lease, and how far it is. */
import type pg from 'pg';
import type {
  ControlOperation,
  ControlOperationStore,
  OperationKind,
  OperationStatus,
} from '../../engine/ports/control-operations.ts';
import { columnsOf } from '../core/columns.ts';
import { Prisma } from '../generated/client.ts';

/** How long it can be asked for. */
export const OPERATION_KEPT = `interval '30 days'`;
/** So long a new one is left to the request that asks for it, which does the first page before its answer. */
export const FIRST_TURN_SECONDS = 2;
/** What its holder alone needs, and what decides who that is. */
const HOLDING = { after: true, tries: true, lease: true, leaseUntil: true, dueAt: true, expiresAt: true } as const;
const COLUMNS = columnsOf(Prisma.ControlOperationScalarFieldEnum, { omit: HOLDING, table: 'o' });

/** Which runs an operation of this kind is about, of the table `r`. */
export const ABOUT = (kind: string) => `NOT r.final AND (${kind} <> 'resume' OR r.status = 'paused')`;

const TAKE = `
UPDATE control_operation o SET status = 'running', lease = $1, lease_until = now() + make_interval(secs => $2::float8 / 1000)
WHERE o.id = (
  SELECT p.id FROM control_operation p
  WHERE p.finished_at IS NULL AND (p.lease_until IS NULL OR p.lease_until < now())
    AND (p.id = $3 OR ($3::text IS NULL AND p.due_at <= now()))
    AND NOT EXISTS (SELECT FROM control_operation b
      WHERE b.tenant_id = p.tenant_id AND b.workflow_id = p.workflow_id AND b.id <> p.id AND b.lease_until > now())
  ORDER BY p.due_at, p.id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING ${COLUMNS}, o.lease, o.after, o.tries`;

const PAGE = `
SELECT r.id FROM run r WHERE r.tenant_id = $1 AND r.workflow_id = $2 AND r.id > $3 AND ${ABOUT('$4::text')} ORDER BY r.id LIMIT $5`;

// The next one that is due comes first: this one stands behind those that wait.
const SAVE = `
UPDATE control_operation SET after = coalesce($3, after), done = done + $4, skipped = skipped + $5, failed = failed + $6, error = $7,
  tries = 0, lease = NULL, lease_until = NULL, due_at = now(),
  status = CASE WHEN status = 'running' AND $8::boolean THEN 'completed' ELSE status END,
  finished_at = CASE WHEN status = 'running' AND $8::boolean THEN now() ELSE finished_at END
WHERE id = $1 AND lease = $2`;

const PUT_OFF = `
UPDATE control_operation SET error = $3, tries = tries + 1, lease = NULL, lease_until = NULL,
  due_at = now() + make_interval(secs => $4::float8 / 1000)
WHERE id = $1 AND lease = $2`;

type Row = Prisma.ControlOperationGetPayload<{ omit: typeof HOLDING }>;

export function createControlOperationStore(pool: pg.Pool): ControlOperationStore {
  return {
    async find(tenantId, id) {
      const { rows } = await pool.query<Row>(
        `SELECT ${COLUMNS} FROM control_operation o WHERE o.tenant_id = $1 AND o.id = $2`,
        [tenantId, id],
      );
      return rows[0] && toOperation(rows[0]);
    },
    async take(lease, leaseMs, id) {
      const { rows } = await pool.query<Row & { lease: string; after: string; tries: number }>({
        name: 'take-control-operation',
        text: TAKE,
        values: [lease, leaseMs, id ?? null],
      });
      return rows[0] && toOperation(rows[0]);
    },
    async page({ tenantId, workflowId, after, kind }, limit) {
      const { rows } = await pool.query<{ id: string }>(PAGE, [tenantId, workflowId, after, kind, limit]);
      return rows.map(({ id }) => id);
    },
    async save({ id, lease }, { after, done, skipped, failed, error, last }) {
      await pool.query(SAVE, [id, lease, after ?? null, done, skipped, failed, error ?? null, last]);
    },
    async defer({ id, lease }, error, afterMs) {
      await pool.query(PUT_OFF, [id, lease, error, afterMs]);
    },
  };
}

function toOperation<Read extends Row>(row: Read): Read & ControlOperation {
  return { ...row, kind: row.kind as OperationKind, status: row.status as OperationStatus }; // No other words are written.
}
