/** Writes down the calls of workers. The table is nobody's truth: a statement that cannot have it soon gives up. */
import type pg from 'pg';
import type { CallSpanStore } from '../../engine/tracing/call-spans.ts';

const TIMEOUT_MS = 3_000;

// What was erased while its calls waited here to be written down stays erased.
const ADD = `
INSERT INTO call_span (tenant_id, trace_id, span_id, parent_id, kind, run_id, action_id, epoch, attempt, service, method, host,
  status, error, started_at, finished_at, expires_at)
SELECT s.tenant_id, s.trace_id, s.span_id, s.parent_id, s.kind, s.run_id, s.action_id, s.epoch, s.attempt, s.service, s.method,
  s.host, s.status, s.error, now() - make_interval(secs => (s.ended_ms_ago + s.duration_ms) / 1000),
  now() - make_interval(secs => s.ended_ms_ago / 1000), now() + make_interval(hours => $17::int)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[], $10::text[],
            $11::text[], $12::text[], $13::int[], $14::text[], $15::float8[], $16::float8[])
  AS s(tenant_id, trace_id, span_id, parent_id, kind, run_id, action_id, epoch, attempt, service, method, host, status, error,
       duration_ms, ended_ms_ago)
WHERE EXISTS (SELECT FROM run r WHERE r.id = s.run_id)
ON CONFLICT DO NOTHING`;

export function createCallSpanStore(pool: pg.Pool, keptHours: number): CallSpanStore {
  return {
    async add(spans) {
      const column = <T>(pick: (span: (typeof spans)[number]) => T): T[] => spans.map(pick);
      const values = [
        column((s) => s.tenantId),
        column((s) => s.traceId),
        column((s) => s.spanId),
        column((s) => s.parentId),
        column((s) => s.kind),
        column((s) => s.runId),
        column((s) => s.actionId),
        column((s) => s.epoch),
        column((s) => s.attempt),
        column((s) => s.service),
        column((s) => s.method),
        column((s) => s.host),
        column((s) => s.status),
        column((s) => s.error),
        column((s) => s.durationMs),
        column((s) => s.endedMsAgo),
        keptHours,
      ];
      const client = await pool.connect();
      try {
        // One that waits would keep a connection from those who work.
        await client.query(`BEGIN; SET LOCAL statement_timeout = ${TIMEOUT_MS}`);
        await client.query({ name: 'add-call-spans', text: ADD, values });
        await client.query('COMMIT');
        client.release();
      } catch (error) {
        // Waited for, or the connection would be handed on in a transaction that failed.
        const broken = await client.query('ROLLBACK').then(
          () => false,
          () => true,
        );
        client.release(broken);
        throw error;
      }
    },
  };
}
