/** What an execution has to know of its workflow now: concurrent requests share a statement, and no definition is read. */
import type pg from 'pg';
import type { WorkflowHead, WorkflowStatus } from '../../engine/ports/read-models.ts';
import { createBatcher } from '../core/batch.ts';
import { isTransient } from '../core/transient.ts';
import { canaryOf } from './canary.ts';

const HEADS_PER_STATEMENT = 200;

const HEADS = `
SELECT w.tenant_id, w.id, w.status, w.current_version, greatest(w.current_version, w.newest_version) AS newest_version,
  w.canary_version, w.canary_percent FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id)
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
      const { rows } = await pool.query<{
        tenant_id: string;
        id: string;
        status: WorkflowStatus;
        current_version: number;
        newest_version: number;
        canary_version: number | null;
        canary_percent: number | null;
      }>({
        name: 'workflow-heads',
        text: HEADS,
        values: [[...asked.values()].map(({ tenantId }) => tenantId), [...asked.values()].map(({ id }) => id)],
      });
      const found = new Map(
        rows.map((row) => [
          nameOf({ tenantId: row.tenant_id, id: row.id }),
          {
            id: row.id,
            status: row.status,
            currentVersion: row.current_version,
            newestVersion: row.newest_version,
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
