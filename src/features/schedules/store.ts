/** Schedules and what became of their slots. A schedule whose runs are being started is locked until that is written down. */
import type pg from 'pg';
import type { JsonObject } from '../../schemas/json.ts';
import { columnsOf } from '../../store/core/columns.ts';
import type { Clients } from '../../store/core/database.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import { Prisma, type Schedule as Row } from '../../store/generated/client.ts';
import { payload } from '../../store/payloads/payloads.ts';
import type { Overlap, Timing } from './domain.ts';
import type { DueSchedule, DueSchedules, Schedule, ScheduleStore, SlotRecord, SlotVerdict } from './ports.ts';

/** So many are kept of each schedule, beside those that wait and those whose runs go on. */
const KEPT_SLOTS = 100;
const UNIQUE_VIOLATION = '23505';

const COLUMNS = columnsOf(Prisma.ScheduleScalarFieldEnum);

const INSERT = `
INSERT INTO schedule (id, tenant_id, name, workflow_id, parameters, cron, interval_seconds, at, timezone, overlap,
                      catchup_window_seconds, jitter_seconds, paused, pause_reason, anchor_at, last_slot_at, due_at,
                      created_by, created_at, updated_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19
WHERE (SELECT count(*) FROM (SELECT 1 FROM schedule WHERE tenant_id = $2 LIMIT $20) AS own) < $20`;

const HELD = `SELECT ${COLUMNS} FROM schedule WHERE tenant_id = $1 AND id = $2 FOR UPDATE`;

const UPDATE = `
UPDATE schedule SET name = $2, workflow_id = $3, parameters = $4, cron = $5, interval_seconds = $6, at = $7, timezone = $8,
  overlap = $9, catchup_window_seconds = $10, jitter_seconds = $11, paused = $12, pause_reason = $13, anchor_at = $14,
  last_slot_at = $15, due_at = $16, updated_at = now()
WHERE id = $1 RETURNING ${COLUMNS}`;

const TAKE_DUE = `
SELECT ${COLUMNS}, extract(epoch FROM clock_timestamp())::float8 * 1000 AS now_ms FROM schedule
WHERE due_at IS NOT NULL AND due_at <= clock_timestamp() ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED`;

const ACTIVE = `
SELECT r.id FROM schedule_slot s JOIN run r ON r.id = s.run_id WHERE s.schedule_id = $1 AND NOT r.final ORDER BY r.id`;

const WAITING = `SELECT slot_at FROM schedule_slot WHERE schedule_id = $1 AND status = 'waiting' ORDER BY slot_at`;

const RECORD = `
INSERT INTO schedule_slot (schedule_id, slot_at, kind, status, reason, run_id)
SELECT $1, * FROM unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[])
ON CONFLICT (schedule_id, slot_at, kind)
DO UPDATE SET status = excluded.status, reason = excluded.reason, run_id = excluded.run_id, recorded_at = now()`;

const FORGET = `
DELETE FROM schedule_slot s
WHERE s.schedule_id = $1 AND s.status <> 'waiting'
  AND s.slot_at < (SELECT slot_at FROM schedule_slot WHERE schedule_id = $1 ORDER BY slot_at DESC OFFSET $2 LIMIT 1)
  AND NOT EXISTS (SELECT 1 FROM run r WHERE r.id = s.run_id AND NOT r.final)`;

const ADVANCE = `
UPDATE schedule SET last_slot_at = $2, due_at = CASE WHEN $4::text IS NULL THEN $3::timestamptz END,
  paused = paused OR $4::text IS NOT NULL, pause_reason = coalesce($4::text, pause_reason)
WHERE id = $1`;

export function createScheduleStore({ pool, prisma }: Clients): ScheduleStore {
  return {
    async create(schedule, lookAt, limit) {
      const { id, tenantId, createdBy, createdAt } = schedule;
      const values = [id, tenantId, ...written(schedule, lookAt), createdBy, createdAt, limit];
      try {
        const { rowCount } = await pool.query(INSERT, values);
        return rowCount === 0 ? 'too_many' : 'created';
      } catch (error) {
        if (isNameTaken(error)) return 'name_taken';
        throw error;
      }
    },
    async find(tenantId, id) {
      const row = await prisma.schedule.findFirst({ where: { tenantId, id } });
      return row === null ? undefined : toSchedule(row);
    },
    async list(tenantId, { page, pageSize, workflowId, paused }) {
      const where = {
        tenantId,
        ...(workflowId === undefined ? {} : { workflowId }),
        ...(paused === undefined ? {} : { paused }),
      };
      const [rows, total] = await Promise.all([
        prisma.schedule.findMany({
          where,
          orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
          take: pageSize,
          skip: (page - 1) * pageSize,
        }),
        prisma.schedule.count({ where }),
      ]);
      return { items: rows.map(toSchedule), total };
    },
    async change(tenantId, id, change) {
      try {
        return await inTransaction(pool, async (client) => {
          const { rows } = await client.query<Row>(HELD, [tenantId, id]);
          if (rows[0] === undefined) return 'unknown';
          const waiting = await client.query(`${WAITING} LIMIT 1`, [id]);
          const { schedule, nextCheckAt: lookAt } = change(toSchedule(rows[0]), (waiting.rowCount ?? 0) > 0);
          const changed = await client.query<Row>(UPDATE, [id, ...written(schedule, lookAt)]);
          return changed.rows[0] === undefined ? 'unknown' : toSchedule(changed.rows[0]);
        });
      } catch (error) {
        if (isNameTaken(error)) return 'name_taken';
        throw error;
      }
    },
    async remove(tenantId, id) {
      return (await prisma.schedule.deleteMany({ where: { tenantId, id } })).count > 0;
    },
    async recent(scheduleId, limit) {
      const rows = await prisma.scheduleSlot.findMany({
        where: { scheduleId },
        orderBy: [{ slotAt: 'desc' }, { kind: 'asc' }],
        take: limit,
      });
      return rows.map(({ slotAt, kind, status, reason, runId }) => ({
        slot: slotAt.getTime(),
        // Only these are ever written.
        kind: kind as SlotRecord['kind'],
        status: status as SlotRecord['status'],
        reason,
        runId,
      }));
    },
    record: (scheduleId, records) => write(pool, scheduleId, records),
  };
}

/** For those who start their runs. */
export function createDueSchedules(pool: pg.Pool): DueSchedules {
  return {
    async runOf(tenantId, idempotencyKey) {
      const { rows } = await pool.query<{ id: string }>(
        'SELECT id FROM run WHERE tenant_id = $1 AND idempotency_key = $2',
        [tenantId, idempotencyKey],
      );
      return rows[0]?.id;
    },
    withDue: (work) => inTransaction(pool, (client) => settleDue(client, work)),
    async latenessMs() {
      const { rows } = await pool.query<{ late: number | null }>({
        name: 'late-schedules',
        text: `SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8 * 1000 AS late FROM schedule WHERE due_at IS NOT NULL`,
      });
      return rows[0]?.late ?? undefined;
    },
  };
}

async function settleDue(client: pg.PoolClient, work: (due: DueSchedule) => Promise<SlotVerdict>): Promise<boolean> {
  const { rows } = await client.query<Row & { now_ms: number }>({ name: 'take-due-schedule', text: TAKE_DUE });
  const raw = rows[0];
  if (raw === undefined) return false;
  const active = await client.query<{ id: string }>(ACTIVE, [raw.id]);
  const waiting = await client.query<{ slot_at: Date }>(WAITING, [raw.id]);
  const verdict = await work({
    schedule: toSchedule(raw),
    now: Math.floor(raw.now_ms),
    active: active.rows.map(({ id }) => id),
    waiting: waiting.rows.map(({ slot_at }) => slot_at.getTime()),
  });
  await write(client, raw.id, verdict.records);
  if (verdict.records.length > 0) await client.query(FORGET, [raw.id, KEPT_SLOTS]);
  const { lastSlot, nextCheckAt: lookAgainAt, pause } = verdict;
  await client.query(ADVANCE, [raw.id, new Date(lastSlot), toDate(lookAgainAt), pause ?? null]);
  return true;
}

async function write(client: pg.Pool | pg.PoolClient, scheduleId: string, records: readonly SlotRecord[]) {
  if (records.length === 0) return;
  await client.query(RECORD, [
    scheduleId,
    records.map(({ slot }) => new Date(slot)),
    records.map(({ kind }) => kind),
    records.map(({ status }) => status),
    records.map(({ reason }) => reason),
    records.map(({ runId }) => runId),
  ]);
}

/** In the order of both statements. */
function written(schedule: Schedule, lookAt: number | undefined): unknown[] {
  const { timing } = schedule;
  const anchor = 'intervalSeconds' in timing ? timing.anchorMs : schedule.createdAt.getTime();
  return [
    schedule.name,
    schedule.workflowId,
    payload(JSON.stringify(schedule.parameters), schedule.tenantId),
    'cron' in timing ? timing.cron : null,
    'intervalSeconds' in timing ? timing.intervalSeconds : null,
    'atMs' in timing ? new Date(timing.atMs) : null,
    schedule.timezone,
    schedule.overlap,
    schedule.catchupSeconds,
    schedule.jitterSeconds,
    schedule.paused,
    schedule.pauseReason,
    new Date(anchor),
    new Date(schedule.lastSlot),
    toDate(lookAt),
  ];
}

function toDate(moment: number | undefined): Date | null {
  return moment === undefined ? null : new Date(moment);
}

function toSchedule(row: Row): Schedule {
  return {
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    workflowId: row.workflowId,
    // An object and such a word went in.
    parameters: row.parameters as JsonObject,
    timing: timingOf(row),
    timezone: row.timezone,
    overlap: row.overlap as Overlap,
    catchupSeconds: row.catchupWindowSeconds,
    jitterSeconds: row.jitterSeconds,
    paused: row.paused,
    pauseReason: row.pauseReason,
    lastSlot: row.lastSlotAt.getTime(),
    createdBy: row.createdBy,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  };
}

function timingOf({ id, cron, timezone, intervalSeconds, anchorAt, at }: Row): Timing {
  if (cron !== null) return { cron, timezone };
  if (intervalSeconds !== null) return { intervalSeconds, anchorMs: anchorAt.getTime() };
  if (at !== null) return { atMs: at.getTime() };
  throw new Error(`schedule ${id} has no timing`);
}

function isNameTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION;
}
