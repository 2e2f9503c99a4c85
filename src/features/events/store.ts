/** Events from outside: each is a row, and what follows from it is done by whoever holds it for a while. */
import type pg from 'pg';
import type { Trigger } from '../../domain/definition/definition.ts';
import type { IncomingEvent } from '../../domain/events/cloud-events.ts';
import { columnsOf } from '../../store/core/columns.ts';
import type { Prisma } from '../../store/generated/client.ts';
import { payload } from '../../store/payloads/payloads.ts';
import { KEPT } from './event-log-store.ts';
import type { EventOutcome, EventProgress, EventWaits, IncomingStore, StoredEvent } from './ports.ts';

const SHOWN = {
  ...{ tenantId: true, key: true, event: true, userId: true, correlationId: true, traceId: true },
  ...{ tries: true, progress: true },
};
const STORED = columnsOf(SHOWN, { table: 'i' });

const INSERT = `
WITH given AS MATERIALIZED (
  SELECT * FROM unnest($2::text[], $3::jsonb[], $8::text[], $9::text[], $10::text[], $11::text[])
    WITH ORDINALITY AS g(k, e, source, id, type, subject, n)
), fresh AS (
  INSERT INTO incoming_event (tenant_id, key, source, id, type, subject, event, user_id, correlation_id, trace_id, due_at, expires_at)
  SELECT $1, k, source, id, type, subject, e, $4, $5, $6,
         now() + make_interval(secs => $7::float8 / 1000), now() + ${KEPT}
  FROM (SELECT DISTINCT ON (k) * FROM given ORDER BY k, n) one
  ON CONFLICT (tenant_id, key) DO NOTHING RETURNING key
)
SELECT g.k AS key, f.key IS NOT NULL AND g.n = min(g.n) OVER (PARTITION BY g.k) AS fresh, i.outcome IS NOT NULL AS done, coalesce(i.outcome, i.progress -> 'outcome') AS outcome
FROM given g LEFT JOIN fresh f ON f.key = g.k LEFT JOIN incoming_event i ON i.tenant_id = $1 AND i.key = g.k ORDER BY g.n`;

// The tenants are read off the index, one step for each, so that the many that one is owed do not hide those of another.
const TAKE_DUE = `
WITH RECURSIVE tenant AS (
  (SELECT tenant_id FROM incoming_event WHERE due_at IS NOT NULL ORDER BY tenant_id LIMIT 1)
  UNION ALL
  SELECT n.tenant_id FROM tenant t CROSS JOIN LATERAL (
    SELECT tenant_id FROM incoming_event WHERE due_at IS NOT NULL AND tenant_id > t.tenant_id ORDER BY tenant_id LIMIT 1
  ) n
)
UPDATE incoming_event i SET tries = i.tries + 1, due_at = now() + make_interval(secs => $3::float8 / 1000)
FROM tenant t CROSS JOIN LATERAL (
  SELECT key FROM incoming_event WHERE tenant_id = t.tenant_id AND due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
) d
WHERE t.tenant_id <> ALL ($2::text[]) AND i.tenant_id = t.tenant_id AND i.key = d.key RETURNING ${STORED}`;

const DONE = `
WITH d AS (
  UPDATE incoming_event SET outcome = $3::jsonb, progress = NULL, due_at = NULL
  WHERE tenant_id = $1 AND key = $2 AND due_at IS NOT NULL
  RETURNING tenant_id, source, id, type, subject, correlation_id, trace_id
)
INSERT INTO platform_event (id, tenant_id, kind, correlation_id, trace_id, data, expires_at)
SELECT nextval('event_id_seq'), tenant_id, 'event.received', correlation_id, trace_id,
       jsonb_build_object('id', id, 'source', source, 'type', type, 'subject', subject) || $3::jsonb, now() + ${KEPT}
FROM d`;

const AGAIN = `
UPDATE incoming_event SET due_at = now() + make_interval(secs => $3::float8 / 1000), progress = coalesce($4::jsonb, progress)
WHERE tenant_id = $1 AND key = $2 AND due_at IS NOT NULL`;

const TRIGGERS = `
SELECT t.workflow_id, t.position, v.definition -> 'triggers' -> t.position AS trigger
FROM workflow_trigger t JOIN workflow w ON w.id = t.workflow_id AND w.deleted_at IS NULL AND w.status = 'active'
JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version
WHERE t.tenant_id = $1 AND t.event = ANY ($2::text[]) ORDER BY t.workflow_id, t.position LIMIT $3`;

const WAITS = `
SELECT w.run_id, w.name, w.event FROM event_wait w JOIN run r ON r.id = w.run_id AND NOT r.final
WHERE w.tenant_id = $1 AND w.correlation_key = $2 AND w.event = ANY ($3::text[]) ORDER BY w.opened_at, w.run_id LIMIT $4`;

const OPEN = `
INSERT INTO event_wait AS w (tenant_id, run_id, action_id, name, event, correlation_key) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (run_id, action_id) DO UPDATE SET event = EXCLUDED.event, correlation_key = EXCLUDED.correlation_key
WHERE (w.event, w.correlation_key) IS DISTINCT FROM (EXCLUDED.event, EXCLUDED.correlation_key)`;

const EARLY = `
SELECT ${STORED} FROM run r JOIN incoming_event i ON i.tenant_id = r.tenant_id AND i.subject = $3 AND i.received_at >= r.created_at
WHERE r.tenant_id = $1 AND r.id = $2
  AND (CASE WHEN right($4, 1) = '*' THEN starts_with(i.type, left($4, -1)) ELSE i.type = $4 END)
ORDER BY i.received_at, i.key LIMIT $5`;

const REMOVE_ENDED = `
DELETE FROM event_wait WHERE ctid = ANY (ARRAY(
  SELECT w.ctid FROM event_wait w LEFT JOIN run r ON r.id = w.run_id WHERE coalesce(r.final, true) LIMIT $1))`;

type Row = Prisma.IncomingEventGetPayload<{ select: typeof SHOWN }>;

export function createIncomingStore(pool: pg.Pool): IncomingStore {
  return {
    async insert(caller, events, leaseMs) {
      const { tenantId, userId, correlationId, traceId } = caller;
      const { rows } = await pool.query<{ fresh: boolean; done: boolean | null; outcome: EventOutcome | null }>(
        INSERT,
        [
          ...[
            tenantId,
            events.map(({ key }) => key),
            events.map(({ event }) => payload(JSON.stringify(event), tenantId)),
          ],
          ...[userId, correlationId ?? null, traceId, leaseMs],
          ...[events.map(({ event }) => event.source), events.map(({ event }) => event.id)],
          ...[events.map(({ event }) => event.type), events.map(({ event }) => event.subject ?? null)],
        ],
      );
      return rows.map(({ fresh, done, outcome }) => ({ fresh, done: done === true, outcome: outcome ?? undefined }));
    },
    async takeDue(perTenant, busy, leaseMs) {
      const { rows } = await pool.query<Row>({
        name: 'take-due-events',
        text: TAKE_DUE,
        values: [perTenant, busy, leaseMs],
      });
      return rows.map(toStored);
    },
    async done({ key, caller }, outcome) {
      await pool.query(DONE, [caller.tenantId, key, JSON.stringify(outcome)]);
    },
    async again({ key, caller }, progress, afterMs) {
      const values = [caller.tenantId, key, afterMs, progress === undefined ? null : JSON.stringify(progress)];
      await pool.query(AGAIN, values);
    },
    async triggersFor(tenantId, patterns, limit) {
      const { rows } = await pool.query<{ workflow_id: string; position: number; trigger: Trigger }>({
        name: 'triggers-for-event',
        text: TRIGGERS,
        values: [tenantId, patterns, limit],
      });
      return rows.map(({ workflow_id: workflowId, position, trigger }) => ({ workflowId, position, trigger }));
    },
    async waitsFor(tenantId, subject, patterns, limit) {
      const { rows } = await pool.query<{ run_id: string; name: string; event: string }>({
        name: 'waits-for-event',
        text: WAITS,
        values: [tenantId, subject, patterns, limit],
      });
      return rows.map(({ run_id: runId, name, event }) => ({ runId, name, event }));
    },
  };
}

export function createEventWaits(pool: pg.Pool): EventWaits {
  return {
    async open({ tenantId, runId, actionId }, { name, event, key }) {
      await pool.query({ name: 'open-event-wait', text: OPEN, values: [tenantId, runId, actionId, name, event, key] });
    },
    async early(tenantId, runId, { event, key }, limit) {
      const values = [tenantId, runId, key, event, limit];
      const { rows } = await pool.query<Row>({ name: 'early-events', text: EARLY, values });
      return rows.map(toStored);
    },
    async removeEnded(limit) {
      await pool.query(REMOVE_ENDED, [limit]);
    },
  };
}

function toStored({ key, event, tries, progress, correlationId, ...who }: Row): StoredEvent {
  return {
    key,
    caller: {
      tenantId: who.tenantId,
      userId: who.userId,
      correlationId: correlationId ?? undefined,
      traceId: who.traceId,
    },
    // As they were written.
    event: event as unknown as IncomingEvent,
    tries,
    progress: (progress as unknown as EventProgress | null) ?? undefined,
  };
}
