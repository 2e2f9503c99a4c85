/** Documents of tenants that have no document store. */
import type { JsonObject } from '../../schemas/json.ts';
import { columnsOf } from '../../store/core/columns.ts';
import type { Clients } from '../../store/core/database.ts';
import type { Prisma } from '../../store/generated/client.ts';
import { payload, textPayload } from '../../store/payloads/payloads.ts';
import type { DocumentStore } from './ports.ts';

const MAX_DOCUMENTS = 10_000;

const SAVED = { id: true, contentHash: true, createdAt: true } as const;

const SAVE = `
INSERT INTO document (tenant_id, id, content, content_hash, metadata, run_id)
SELECT $1, $2, $3, $4, $5::jsonb, $6
WHERE EXISTS (SELECT 1 FROM document WHERE tenant_id = $1 AND id = $2)
   OR (SELECT count(*) FROM document WHERE tenant_id = $1) < ${MAX_DOCUMENTS}
ON CONFLICT (tenant_id, id) DO UPDATE SET content = EXCLUDED.content, content_hash = EXCLUDED.content_hash,
  metadata = EXCLUDED.metadata, run_id = EXCLUDED.run_id, updated_at = now()
RETURNING ${columnsOf(SAVED)}`;

export function createDocumentStore({ pool, prisma }: Clients): DocumentStore {
  return {
    async save(tenantId, { id, content, contentHash, metadata, runId }) {
      const values = [
        tenantId,
        id,
        textPayload(content, tenantId),
        contentHash,
        payload(metadata === undefined ? null : JSON.stringify(metadata), tenantId),
        runId,
      ];
      const { rows } = await pool.query<Prisma.DocumentGetPayload<{ select: typeof SAVED }>>(SAVE, values);
      return rows[0];
    },
    async find(tenantId, id) {
      const row = await prisma.document.findFirst({ where: { tenantId, id } });
      if (row === null) return undefined;
      const { content, contentHash, metadata, createdAt, updatedAt } = row;
      // An object went in, where one was given.
      return { id, content, contentHash, metadata: metadata as JsonObject | null, createdAt, updatedAt };
    },
  };
}
