/**
 * The log of a tenant's events. Events of runs are found by their runs, so nothing is added to what writes them; what is
 * cleared is marked by how far, and stays for those who need it. docs/decisions has why.
 */
import type pg from 'pg';
import { inTransaction } from '../../store/core/in-transaction.ts';
import type { EventFilter, EventLogStore, EventPosition, RecordPlatformEvent } from './event-log-ports.ts';
import { PLATFORM_EVENT, type RawLoggedEvent, RUN_EVENT, toLoggedEvent } from './logged-events.ts';

/** Of a tenant with more of them the events of older runs are found by execution or correlation id. */
export const MAX_RUNS = 10_000;
export const KEPT = `interval '30 days'`;

const NOT_CLEARED = (id: string, kind: string, correlation: string) => `NOT EXISTS (
    SELECT FROM event_clearance l WHERE l.tenant_id = $1 AND ${id} <= l.up_to
      AND l.kind IN ('', ${kind}) AND l.correlation_id IN ('', coalesce(${correlation}, '')))`;

// $1 tenant, $2 correlation id, $3 run, $4 kinds, $5 from, $6 to.
const VISIBLE = `
chosen AS MATERIALIZED (
  SELECT id, correlation_id FROM run
  WHERE tenant_id = $1 AND ($2::text IS NULL OR correlation_id = $2) AND ($3::text IS NULL OR id = $3)
  ORDER BY created_at DESC, id DESC LIMIT ${MAX_RUNS}
), visible AS (
  SELECT e.id, e.run_id, true AS of_run FROM chosen c JOIN event e ON e.run_id = c.id
  WHERE ($4::text[] IS NULL OR e.kind = ANY ($4)) AND ($5::timestamptz IS NULL OR e.at >= $5)
    AND ($6::timestamptz IS NULL OR e.at < $6) AND ${NOT_CLEARED('e.id', 'e.kind', 'c.correlation_id')}
  UNION ALL
  SELECT p.id, NULL, false FROM platform_event p
  WHERE p.tenant_id = $1 AND ($2::text IS NULL OR p.correlation_id = $2) AND ($3::text IS NULL OR p.run_id = $3)
    AND ($4::text[] IS NULL OR p.kind = ANY ($4)) AND ($5::timestamptz IS NULL OR p.at >= $5)
    AND ($6::timestamptz IS NULL OR p.at < $6) AND ${NOT_CLEARED('p.id', 'p.kind', 'p.correlation_id')}
)`;

// The message of an event is put together for those alone that have subscribers.
const LIST = `
WITH ${VISIBLE}, top AS MATERIALIZED (
  SELECT * FROM visible WHERE $7::bigint IS NULL OR id < $7 ORDER BY id DESC LIMIT $8
)
SELECT ${RUN_EVENT} FROM top t JOIN event e ON e.run_id = t.run_id AND e.id = t.id JOIN run r ON r.id = t.run_id WHERE t.of_run
UNION ALL
SELECT ${PLATFORM_EVENT} FROM top t JOIN platform_event p ON p.id = t.id WHERE NOT t.of_run
ORDER BY id DESC`;

const COUNT = `WITH ${VISIBLE} SELECT count(*)::int AS total FROM (SELECT FROM visible LIMIT $7) v`;
const PLACES = `WITH ${VISIBLE} SELECT id, run_id FROM visible ORDER BY id LIMIT $7`;

const READ = `
WITH asked AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS k(id, run_id, n))
SELECT * FROM (
  SELECT k.n, ${RUN_EVENT} FROM asked k JOIN event e ON e.run_id = k.run_id AND e.id = k.id
    JOIN run r ON r.id = k.run_id AND r.tenant_id = $1
  UNION ALL
  SELECT k.n, ${PLATFORM_EVENT} FROM asked k JOIN platform_event p ON k.run_id IS NULL AND p.id = k.id AND p.tenant_id = $1
) f ORDER BY n`;

const SEEN = `WITH ${VISIBLE} SELECT count(*)::int AS cleared, max(id) AS up_to FROM visible`;

const CLEAR = `
INSERT INTO event_clearance AS l (tenant_id, kind, correlation_id, up_to, by)
SELECT $1, k, $3, $4, $5 FROM unnest($2::text[]) k
ON CONFLICT (tenant_id, kind, correlation_id) DO UPDATE SET up_to = greatest(l.up_to, EXCLUDED.up_to), by = EXCLUDED.by, at = now()`;

// What is cleared as a whole needs no parts.
const FORGET_PARTS = `DELETE FROM event_clearance WHERE tenant_id = $1 AND (kind <> '' OR correlation_id <> '') AND up_to <= $2`;

const RECORD = `
INSERT INTO platform_event (id, tenant_id, kind, correlation_id, trace_id, run_id, data, expires_at)
VALUES (nextval('event_id_seq'), $1, $2, $3, $4, $5, $6::jsonb, now() + ${KEPT})`;

export function createEventLogStore(pool: pg.Pool): EventLogStore {
  return {
    async list(tenantId, filter, { limit, before }) {
      const { rows } = await pool.query<RawLoggedEvent>(LIST, [...values(tenantId, filter), before ?? null, limit + 1]);
      return { events: rows.slice(0, limit).map(toLoggedEvent), more: rows.length > limit };
    },
    async count(tenantId, filter, atMost) {
      const { rows } = await pool.query<{ total: number }>(COUNT, [...values(tenantId, filter), atMost]);
      return rows[0]?.total ?? 0;
    },
    async positions(tenantId, filter, limit) {
      const asked = [...values(tenantId, filter), limit];
      const { rows } = await pool.query<{ id: string; run_id: string | null }>(PLACES, asked);
      return rows.map(({ id, run_id: runId }): EventPosition => ({ id, runId }));
    },
    async read(tenantId, places) {
      const ids = places.map(({ id }) => id);
      const runIds = places.map(({ runId }) => runId);
      const { rows } = await pool.query<RawLoggedEvent>(READ, [tenantId, ids, runIds]);
      return rows.map(toLoggedEvent);
    },
    clear: (caller, filter, maxParts) =>
      inTransaction(pool, async (client) => {
        const { tenantId, userId } = caller;
        const { kinds = [], correlationId = '' } = filter;
        const seen = await client.query<{ cleared: number; up_to: string | null }>(SEEN, values(tenantId, filter));
        const { cleared = 0, up_to: upTo = null } = seen.rows[0] ?? {};
        if (upTo !== null) {
          const marked = kinds.length === 0 ? [''] : [...new Set(kinds)];
          await client.query(CLEAR, [tenantId, marked, correlationId, upTo, userId]);
          if (kinds.length === 0 && correlationId === '') await client.query(FORGET_PARTS, [tenantId, upTo]);
          const parts = await client.query('SELECT FROM event_clearance WHERE tenant_id = $1', [tenantId]);
          if ((parts.rowCount ?? 0) > maxParts) throw new TooManyParts();
        }
        const of = { event_types: kinds, correlation_id: filter.correlationId ?? null };
        await client.query(RECORD, [
          ...[tenantId, 'events.cleared', caller.correlationId ?? null, caller.traceId, null],
          JSON.stringify({ by: userId, cleared_count: cleared, ...of }),
        ]);
        return cleared;
      }).catch((error: unknown) => {
        if (error instanceof TooManyParts) return undefined;
        throw error;
      }),
  };
}

/** With a connection in a transaction: what happened and its notification are one. */
export function createPlatformEvents(pool: pg.Pool | pg.PoolClient): RecordPlatformEvent {
  return async ({ tenantId, kind, correlationId, traceId, runId, data }) => {
    const values = [tenantId, kind, correlationId ?? null, traceId ?? null, runId ?? null, JSON.stringify(data)];
    await pool.query({ name: 'record-platform-event', text: RECORD, values });
  };
}

function values(tenantId: string, { correlationId, runId, kinds, from, to }: EventFilter): unknown[] {
  const wanted = kinds === undefined || kinds.length === 0 ? null : kinds;
  return [tenantId, correlationId ?? null, runId ?? null, wanted, from ?? null, to ?? null];
}

class TooManyParts extends Error {
  constructor() {
    super('too many parts of the log are cleared on their own');
    this.name = 'TooManyParts';
  }
}
