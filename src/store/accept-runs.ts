/** The acceptance of runs: a run that was answered with 202 is a committed row. Concurrent inserts share a statement. */
import type pg from 'pg';
import type { NewRun, StoredRun } from '../engine/ports.ts';
import type { RunStatus } from '../engine/use-cases.ts';
import type { JsonObject } from '../schemas/json.ts';
import { definitionRef, type RawRun } from './run-row.ts';

// The twin of a run that is not inserted is either committed already, or in this very statement.
const ACCEPT = `
INSERT INTO run (id, tenant_id, user_id, workflow_id, workflow_version, inline, parameters, priority, due_at,
                 correlation_id, trace_id, callback_url, idempotency_key, request_hash, status, check_at, deadline_at)
SELECT id, tenant_id, user_id, workflow_id, workflow_version, inline, parameters, priority,
       now() + make_interval(secs => delay_seconds), correlation_id, trace_id, callback_url, idempotency_key, request_hash,
       'pending', now() + interval '30 seconds', now() + make_interval(secs => coalesce(delay_seconds, 0) + timeout_seconds)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::jsonb[], $7::jsonb[], $8::int[], $9::float8[],
            $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::float8[])
     AS n(id, tenant_id, user_id, workflow_id, workflow_version, inline, parameters, priority, delay_seconds,
          correlation_id, trace_id, callback_url, idempotency_key, request_hash, timeout_seconds)
ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
RETURNING id, created_at`;

const EXISTING = `
SELECT r.id, r.tenant_id, r.idempotency_key, r.status, r.created_at, r.request_hash, r.workflow_id, r.workflow_version, r.inline
FROM unnest($1::text[], $2::text[]) AS k(tenant_id, key)
JOIN run r ON r.tenant_id = k.tenant_id AND r.idempotency_key = k.key`;

type Existing = Pick<RawRun, 'id' | 'tenant_id' | 'workflow_id' | 'workflow_version' | 'inline' | 'created_at'> & {
  idempotency_key: string;
  status: RunStatus;
  request_hash: string | null;
};

export async function acceptRuns(pool: pg.Pool, runs: readonly NewRun[]): Promise<StoredRun[]> {
  const column = <T>(pick: (run: NewRun) => T): T[] => runs.map(pick);
  const { rows } = await pool.query<{ id: string; created_at: Date }>({
    name: 'accept-runs',
    text: ACCEPT,
    values: [
      column((r) => r.id),
      column((r) => r.tenantId),
      column((r) => r.userId),
      column((r) => ('workflow_id' in r.of ? r.of.workflow_id : null)),
      column((r) => ('workflow_id' in r.of ? r.of.version : null)),
      column((r) => ('workflow_id' in r.of ? null : JSON.stringify(r.of))),
      column((r) => JSON.stringify(r.parameters satisfies JsonObject)),
      column((r) => r.priority),
      column((r) => r.delaySeconds ?? null),
      column((r) => r.correlationId ?? null),
      column((r) => r.traceId),
      column((r) => r.callbackUrl ?? null),
      column((r) => r.idempotencyKey ?? null),
      column((r) => r.requestHash ?? null),
      column((r) => r.timeoutSeconds ?? null),
    ],
  });
  const createdAt = new Map(rows.map((row) => [row.id, row.created_at]));
  const repeated = runs.filter((run) => !createdAt.has(run.id));
  const existing = repeated.length === 0 ? new Map<string, Existing>() : await findExisting(pool, repeated);

  return runs.map((run): StoredRun => {
    const created = createdAt.get(run.id);
    if (created !== undefined) {
      const requestHash = run.requestHash ?? null;
      return { id: run.id, status: 'pending', createdAt: created, requestHash, of: run.of, inserted: true };
    }
    const twin = existing.get(twinKey(run.tenantId, run.idempotencyKey ?? ''));
    if (twin === undefined) throw new Error(`run ${run.id} was neither inserted nor found by its idempotency key`);
    return {
      id: twin.id,
      status: twin.status,
      createdAt: twin.created_at,
      requestHash: twin.request_hash,
      of: definitionRef(twin),
      inserted: false,
    };
  });
}

async function findExisting(pool: pg.Pool, runs: readonly NewRun[]): Promise<Map<string, Existing>> {
  const { rows } = await pool.query<Existing>({
    name: 'runs-by-idempotency-key',
    text: EXISTING,
    values: [runs.map((run) => run.tenantId), runs.map((run) => run.idempotencyKey ?? '')],
  });
  return new Map(rows.map((row) => [twinKey(row.tenant_id, row.idempotency_key), row]));
}

function twinKey(tenantId: string, key: string): string {
  return JSON.stringify([tenantId, key]);
}
