/** What an execution has to know of its workflow now: concurrent requests share a statement, and no definition is read. */
import type pg from 'pg';
import type { WorkflowHead, WorkflowStatus } from '../../engine/ports/read-models.ts';
import { createBatcher } from '../core/batch.ts';
import { columnsOf } from '../core/columns.ts';
import { isTransient } from '../core/transient.ts';
import type { Prisma } from '../generated/client.ts';
import { canaryOf } from './canary.ts';

const HEADS_PER_STATEMENT = 200;

const HEAD = { tenantId: true, id: true, status: true, currentVersion: true, canaryVersion: true, canaryPercent: true };
type Row = Prisma.WorkflowGetPayload<{ select: typeof HEAD }> & { newestVersion: number };

const HEADS = `
SELECT ${columnsOf(HEAD, { table: 'w' })}, greatest(w.current_version, w.newest_version) AS "newestVersion"
FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id)
JOIN workflow w ON w.id = k.id AND w.tenant_id = k.tenant_id AND w.deleted_at IS NULL`;

interface Key {
  tenantId: string;
  id: string;
}

export function createWorkflowHeads(
  pool: pg.Pool,
): (tenantId: string, id: string) => Promise<WorkflowHead | undefined> {
  const heads = createBatcher<Key, WorkflowHead | undefined>({
    maxItems: HEADS_PER_STATEMENT,
    async flush(keys) {
      const asked = new Map(keys.map((key) => [nameOf(key), key]));
      const { rows } = await pool.query<Row>({
        name: 'workflow-heads',
        text: HEADS,
        values: [[...asked.values()].map(({ tenantId }) => tenantId), [...asked.values()].map(({ id }) => id)],
      });
      const found = new Map(
        rows.map((row) => [
          nameOf(row),
          {
            id: row.id,
            status: row.status as WorkflowStatus, // Only these are ever written.
            currentVersion: row.currentVersion,
            newestVersion: row.newestVersion,
            canary: canaryOf(row),
          },
        ]),
      );
      return keys.map((key) => found.get(nameOf(key)));
    },
    retryAfter: (error, tries) => (isTransient(error) && tries === 1 ? 50 : undefined),
  });
  return (tenantId, id) => heads({ tenantId, id });
}

function nameOf({ tenantId, id }: Key): string {
  return JSON.stringify([tenantId, id]);
}
