/** OpenAPI documents of services: the newest one of each, and a bounded history of what changed. */
import type { JsonObject } from '../../schemas/json.ts';
import type { Clients } from '../../store/core/database.ts';
import { inTransaction } from '../../store/core/in-transaction.ts';
import type { ServiceDrift } from '../../store/generated/client.ts';
import { createPlatformEvents } from '../events/event-log-store.ts';
import type { ChangedOperation } from './api-drift.ts';
import type { CallableOperation } from './operation-call.ts';
import type { ServiceApiStore, StoredDrift } from './ports.ts';

/** Of one service; the oldest go. */
const DRIFTS_KEPT = 100;
/** As the older platform calls it. */
const DRIFT_EVENT = 'findings.created';

const DRIFT = {
  fromHash: true,
  hash: true,
  added: true,
  removed: true,
  changed: true,
  breaking: true,
  operations: true,
  at: true,
} as const;

const INSERT = `
INSERT INTO service_document (tenant_id, service, url, hash, document, operations, title, version)
VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8) ON CONFLICT (tenant_id, service) DO NOTHING`;

const UPDATE = `
UPDATE service_document SET url = $3, hash = $4, document = $5::jsonb, operations = $6::jsonb, title = $7, version = $8,
  fetched_at = now(), changed_at = now()
WHERE tenant_id = $1 AND service = $2 AND hash = $9`;

const KEEP_DRIFT = `
INSERT INTO service_drift (tenant_id, service, cause, from_hash, hash, added, removed, changed, breaking, operations)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8::jsonb, $9, $10)`;

const FORGET_DRIFTS = `
DELETE FROM service_drift WHERE tenant_id = $1 AND service = $2 AND id <= (
  SELECT id FROM service_drift WHERE tenant_id = $1 AND service = $2 ORDER BY id DESC OFFSET $3 LIMIT 1)`;

export function createServiceApiStore({ pool, prisma }: Clients): ServiceApiStore {
  return {
    async document(tenantId, service) {
      const row = await prisma.serviceDocument.findFirst({
        where: { tenantId, service },
        omit: { tenantId: true, operations: true },
      });
      // Only objects are kept as documents.
      return row === null ? undefined : { ...row, document: row.document as JsonObject };
    },
    async operations(tenantId, service) {
      const row = await prisma.serviceDocument.findFirst({
        where: { tenantId, service },
        select: { operations: true },
      });
      // As they went in.
      return row === null ? undefined : (row.operations as unknown as Record<string, CallableOperation>);
    },
    async operation(tenantId, service, id) {
      const { rows } = await pool.query<{ operation: CallableOperation | null }>({
        name: 'service-operation',
        text: 'SELECT operations -> $3::text AS operation FROM service_document WHERE tenant_id = $1 AND service = $2',
        values: [tenantId, service, id],
      });
      return rows[0] === undefined ? undefined : { operation: rows[0].operation ?? undefined };
    },
    async operationIds(tenantId, service) {
      const { rows } = await pool.query<{ ids: string[] }>({
        name: 'service-operation-ids',
        text: `SELECT ARRAY(SELECT jsonb_object_keys(operations)) AS ids FROM service_document WHERE tenant_id = $1 AND service = $2`,
        values: [tenantId, service],
      });
      return rows[0]?.ids;
    },
    async drifts(tenantId, service, limit) {
      const rows = await prisma.serviceDrift.findMany({
        where: { tenantId, service },
        select: DRIFT,
        orderBy: { id: 'desc' },
        take: limit,
      });
      return rows.map(toDrift);
    },
    async driftOf(tenantId, service, cause) {
      const row = await prisma.serviceDrift.findFirst({ where: { tenantId, service, cause }, select: DRIFT });
      return row === null ? undefined : toDrift(row);
    },
    async unchanged(tenantId, service, hash, url) {
      const { rowCount } = await pool.query({
        name: 'service-document-unchanged',
        text: 'UPDATE service_document SET fetched_at = now(), url = $4 WHERE tenant_id = $1 AND service = $2 AND hash = $3',
        values: [tenantId, service, hash, url],
      });
      return rowCount === 1;
    },
    replace(tenantId, service, { fromHash, url, hash, document, operations, title, version }, drift) {
      return inTransaction(pool, async (client) => {
        const fields = [tenantId, service, url, hash, JSON.stringify(document), JSON.stringify(operations)];
        const values = [...fields, title ?? null, version ?? null];
        const { rowCount } =
          fromHash === null
            ? await client.query({ name: 'service-document-insert', text: INSERT, values })
            : await client.query({ name: 'service-document-update', text: UPDATE, values: [...values, fromHash] });
        if (rowCount !== 1) return false;
        const { cause, runId, correlationId, traceId, added, removed, changed, breaking } = drift;
        const lists = [added, removed, changed].map((list) => JSON.stringify(list));
        const count = Object.keys(operations).length;
        await client.query({
          name: 'service-drift-insert',
          text: KEEP_DRIFT,
          values: [tenantId, service, cause, fromHash, hash, ...lists, breaking, count],
        });
        if (fromHash !== null) {
          await createPlatformEvents(client)({
            tenantId,
            kind: DRIFT_EVENT,
            correlationId,
            traceId,
            runId,
            data: {
              type: 'api_drift_candidate',
              service,
              severity_counts: breaking ? { high: 1 } : { low: 1 },
              from_hash: fromHash,
              hash,
              breaking,
              added,
              removed,
              changed: changed.map(({ operation }) => operation),
            },
          });
        }
        await client.query({
          name: 'service-drift-forget',
          text: FORGET_DRIFTS,
          values: [tenantId, service, DRIFTS_KEPT],
        });
        return true;
      });
    },
  };
}

/** The lists are such as were written. */
function toDrift(row: Pick<ServiceDrift, keyof typeof DRIFT>): StoredDrift {
  return {
    ...row,
    added: row.added as string[],
    removed: row.removed as string[],
    changed: row.changed as unknown as ChangedOperation[],
  };
}
