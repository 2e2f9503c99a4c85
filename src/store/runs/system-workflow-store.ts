/** The service's own workflows. Whoever comes first makes a version, the others wait for it at the row of the workflow. */
import type pg from 'pg';
import { SYSTEM_USER } from '../../domain/definition/system-workflow.ts';
import { CONTENT, type SystemWorkflowStore } from '../../engine/ports/system-workflows.ts';
import { inTransaction } from '../core/in-transaction.ts';

const MAKE = `
INSERT INTO workflow (id, tenant_id, name, description, tags, created_by) VALUES ($1, $2, $3, $4, $5, '${SYSTEM_USER}')
ON CONFLICT (id) DO NOTHING`;
const LOCK = 'SELECT id FROM workflow WHERE id = $1 FOR UPDATE';
const FIND = `
SELECT version FROM workflow_version WHERE workflow_id = $1 AND definition #>> '{metadata,${CONTENT}}' = $2
ORDER BY version DESC LIMIT 1`;
const ADD = `
INSERT INTO workflow_version (workflow_id, version, definition, created_by)
SELECT $1, coalesce(max(version), 0) + 1, $2::jsonb, '${SYSTEM_USER}' FROM workflow_version WHERE workflow_id = $1
RETURNING version`;
const USE = `
UPDATE workflow SET current_version = $2, newest_version = $2, description = $3, tags = $4, updated_at = now() WHERE id = $1`;

export function createSystemWorkflowStore(pool: pg.Pool): SystemWorkflowStore {
  return {
    ensureVersion: (tenantId, id, definition, content) =>
      inTransaction(pool, async (client) => {
        const { name, description = null, tags } = definition;
        await client.query(MAKE, [id, tenantId, name, description, tags]);
        await client.query(LOCK, [id]);
        const found = await client.query<{ version: number }>(FIND, [id, content]);
        if (found.rows[0] !== undefined) return found.rows[0].version;
        const added = await client.query<{ version: number }>(ADD, [id, JSON.stringify(definition)]);
        const version = added.rows[0]?.version;
        if (version === undefined) throw new Error(`no version was added to ${id}`);
        await client.query(USE, [id, version, description, tags]);
        return version;
      }),
  };
}
