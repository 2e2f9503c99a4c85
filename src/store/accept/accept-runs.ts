/** The acceptance of runs: a run that was answered with 202 is a committed row. Concurrent inserts share a statement. */
import type pg from 'pg';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { NewRun, StoredRun } from '../../engine/ports/runs.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { EACH } from '../core/by-key.ts';
import { payload } from '../payloads/payloads.ts';
import { definitionRef, type RawRun } from '../runs/run-row.ts';

export const RUN_FIELDS = `id, tenant_id, user_id, workflow_id, workflow_version, inline, parameters, priority, due_at,
                 correlation_id, trace_id, callback_url, idempotency_key, request_hash, status, check_at, deadline_at,
                 concurrency_key, concurrency_limit, waits_for_slot, saga, parent_span_id, retention_days,
                 execution_context`;
/** Of `n`, which is NEW_RUNS. `status`: an expression. */
export const insertedFields = (
  status = `'pending'`,
) => `n.id, n.tenant_id, n.user_id, n.workflow_id, n.workflow_version, n.inline, n.parameters, n.priority,
       now() + make_interval(secs => n.delay_seconds), n.correlation_id, n.trace_id, n.callback_url, n.idempotency_key,
       n.request_hash, ${status}, now() + interval '30 seconds',
       now() + make_interval(secs => coalesce(n.delay_seconds, 0) + n.timeout_seconds),
       n.concurrency_key, n.concurrency_limit, CASE WHEN n.concurrency_key IS NOT NULL THEN true END, n.saga, n.parent_span_id,
       n.retention_days, n.execution_context`;
/** Its parameters are those of `newRunValues`. */
export const NEW_RUNS = `unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::jsonb[], $7::jsonb[], $8::int[],
            $9::float8[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::float8[],
            $16::text[], $17::int[], $18::bool[], $19::text[], $20::int[], $21::jsonb[])
     AS n(id, tenant_id, user_id, workflow_id, workflow_version, inline, parameters, priority, delay_seconds,
          correlation_id, trace_id, callback_url, idempotency_key, request_hash, timeout_seconds, concurrency_key, concurrency_limit,
          saga, parent_span_id, retention_days, execution_context)`;

// The duplicate of a run that is not inserted is either committed already, or in this very statement.
const ACCEPT = `
INSERT INTO run (${RUN_FIELDS})
SELECT ${insertedFields()} FROM ${NEW_RUNS}
ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
RETURNING id, created_at`;

const EXISTING = `
SELECT r.id, r.tenant_id, r.idempotency_key, r.status, r.created_at, r.request_hash, r.workflow_id, r.workflow_version, r.inline
FROM unnest($1::text[], $2::text[]) AS k(tenant_id, key)
CROSS JOIN LATERAL (SELECT * FROM run WHERE tenant_id = k.tenant_id AND idempotency_key = k.key ${EACH}) r`;

export type Existing = Pick<
  RawRun,
  'id' | 'tenant_id' | 'workflow_id' | 'workflow_version' | 'inline' | 'created_at'
> & {
  idempotency_key: string;
  status: RunStatus;
  request_hash: string | null;
};

export async function acceptRuns(pool: Pick<pg.ClientBase, 'query'>, runs: readonly NewRun[]): Promise<StoredRun[]> {
  const { rows } = await pool.query<{ id: string; created_at: Date }>({
    name: 'accept-runs',
    text: ACCEPT,
    values: newRunValues(runs),
  });
  const createdAt = new Map(rows.map((row) => [row.id, row.created_at]));
  const repeated = runs.filter((run) => !createdAt.has(run.id));
  const stored = storedRuns(runs, createdAt, await findExisting(pool, repeated));
  return runs.map(({ id }): StoredRun => {
    const row = stored.get(id);
    if (row === undefined) throw new Error(`run ${id} was neither inserted nor found by its idempotency key`);
    return row;
  });
}

export function newRunValues(runs: readonly NewRun[]): unknown[] {
  const column = <T>(pick: (run: NewRun) => T): T[] => runs.map(pick);
  return [
    column((r) => r.id),
    column((r) => r.tenantId),
    column((r) => r.userId),
    column((r) => ('workflow_id' in r.of ? r.of.workflow_id : null)),
    column((r) => ('workflow_id' in r.of ? r.of.version : null)),
    column((r) => ('workflow_id' in r.of ? null : JSON.stringify(r.of))),
    column((r) => payload(JSON.stringify(r.parameters satisfies JsonObject), r.tenantId)),
    column((r) => r.priority),
    column((r) => r.delaySeconds ?? null),
    column((r) => r.correlationId ?? null),
    column((r) => r.traceId),
    column((r) => r.callbackUrl ?? null),
    column((r) => r.idempotencyKey ?? null),
    column((r) => r.requestHash ?? null),
    column((r) => r.timeoutSeconds ?? null),
    column((r) => r.concurrency?.key ?? null),
    column((r) => r.concurrency?.limit ?? null),
    column((r) => r.saga ?? null),
    column((r) => r.parentSpanId ?? null),
    column((r) => r.retentionDays ?? null),
    column((r) => payload(contextText(r), r.tenantId)),
  ];
}

function contextText({ executionContext }: NewRun): string | null {
  return executionContext === undefined ? null : JSON.stringify(executionContext);
}

/** By their ids: those that were inserted, and those whose idempotency key has a run. */
export function storedRuns(
  runs: readonly NewRun[],
  createdAt: ReadonlyMap<string, Date>,
  existing: ReadonlyMap<string, Existing>,
): Map<string, StoredRun> {
  const stored = new Map<string, StoredRun>();
  for (const run of runs) {
    const created = createdAt.get(run.id);
    const found = existing.get(tenantKey(run.tenantId, run.idempotencyKey ?? ''));
    if (created !== undefined) {
      const requestHash = run.requestHash ?? null;
      stored.set(run.id, {
        id: run.id,
        status: 'pending',
        createdAt: created,
        requestHash,
        of: run.of,
        inserted: true,
      });
    } else if (run.idempotencyKey !== undefined && found !== undefined) {
      const { id, status, created_at, request_hash: requestHash } = found;
      stored.set(run.id, { id, status, createdAt: created_at, requestHash, of: definitionRef(found), inserted: false });
    }
  }
  return stored;
}

export async function findExisting(
  client: Pick<pg.ClientBase, 'query'>,
  runs: readonly NewRun[],
): Promise<Map<string, Existing>> {
  const keyed = runs.filter(({ idempotencyKey }) => idempotencyKey !== undefined);
  if (keyed.length === 0) return new Map();
  const { rows } = await client.query<Existing>({
    name: 'runs-by-idempotency-key',
    text: EXISTING,
    values: [keyed.map((run) => run.tenantId), keyed.map((run) => run.idempotencyKey ?? '')],
  });
  return new Map(rows.map((row) => [tenantKey(row.tenant_id, row.idempotency_key), row]));
}

export function tenantKey(tenantId: string, key: string): string {
  return JSON.stringify([tenantId, key]);
}
