/** The templates that tenants keep. */
import type pg from 'pg';
import type { Definition } from '../domain/definition.ts';
import type { KeptTemplate, TemplateStore } from '../engine/workflow-templates.ts';

const COLUMNS = 'definition, created_by, created_at, updated_at';

const LIST = `
SELECT name AS template_name, definition ->> 'name' AS name, definition ->> 'description' AS description,
       jsonb_array_length(definition -> 'parameters') AS parameters_count, jsonb_array_length(definition -> 'actions') AS actions_count
FROM workflow_template WHERE tenant_id = $1 ORDER BY name`;

// xmax is 0 in a row that was inserted just now.
const KEEP = `
INSERT INTO workflow_template AS t (tenant_id, name, created_by, definition)
SELECT $1, $2, $3, $4::jsonb
WHERE EXISTS (SELECT 1 FROM workflow_template WHERE tenant_id = $1 AND name = $2)
   OR (SELECT count(*) FROM workflow_template WHERE tenant_id = $1) < $5
ON CONFLICT (tenant_id, name) DO UPDATE SET definition = EXCLUDED.definition, updated_at = now() WHERE $6::boolean
RETURNING ${COLUMNS}, xmax = 0 AS created`;

interface Raw {
  definition: Definition;
  created_by: string;
  created_at: Date;
  updated_at: Date;
}

export function createTemplateStore(pool: pg.Pool): TemplateStore {
  async function find(tenantId: string, name: string): Promise<KeptTemplate | undefined> {
    const text = `SELECT ${COLUMNS} FROM workflow_template WHERE tenant_id = $1 AND name = $2`;
    const { rows } = await pool.query<Raw>(text, [tenantId, name]);
    return rows[0] && toTemplate(rows[0]);
  }
  return {
    find,
    async list(tenantId) {
      const { rows } = await pool.query<{
        template_name: string;
        name: string;
        description: string | null;
        parameters_count: number;
        actions_count: number;
      }>(LIST, [tenantId]);
      return new Map(
        rows.map(({ template_name, name, description, parameters_count, actions_count }) => [
          template_name,
          { name, description, parametersCount: parameters_count, actionsCount: actions_count },
        ]),
      );
    },
    async keep({ tenantId, userId }, name, definition, { replace, limit }) {
      const values = [tenantId, name, userId, JSON.stringify(definition), limit, replace];
      const { rows } = await pool.query<Raw & { created: boolean }>(KEEP, values);
      const row = rows[0];
      if (row !== undefined) return { done: row.created ? 'created' : 'replaced', template: toTemplate(row) };
      return { done: (await find(tenantId, name)) === undefined ? 'too_many' : 'exists' };
    },
    async remove(tenantId, name) {
      const text = 'DELETE FROM workflow_template WHERE tenant_id = $1 AND name = $2';
      return ((await pool.query(text, [tenantId, name])).rowCount ?? 0) > 0;
    },
  };
}

function toTemplate({ definition, created_by, created_at, updated_at }: Raw): KeptTemplate {
  return { definition, createdBy: created_by, createdAt: created_at, updatedAt: updated_at };
}
