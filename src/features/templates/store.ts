/** The templates that tenants keep. */
import type { Definition } from '../../domain/definition/definition.ts';
import { columnsOf } from '../../store/core/columns.ts';
import type { Clients } from '../../store/core/database.ts';
import type { Prisma } from '../../store/generated/client.ts';
import type { StoredTemplate, TemplateStore } from './manage-templates.ts';

const KEPT = { definition: true, createdBy: true, createdAt: true, updatedAt: true } as const;
type Row = Prisma.WorkflowTemplateGetPayload<{ select: typeof KEPT }>;

// Without the definitions themselves.
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
RETURNING ${columnsOf(KEPT)}, xmax = 0 AS created`;

export function createTemplateStore({ pool, prisma }: Clients): TemplateStore {
  async function find(tenantId: string, name: string): Promise<StoredTemplate | undefined> {
    const row = await prisma.workflowTemplate.findFirst({
      where: { tenantId, name },
      select: KEPT,
    });
    return row === null ? undefined : toTemplate(row);
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
    async save({ tenantId, userId }, name, definition, { replace, limit }) {
      const values = [tenantId, name, userId, JSON.stringify(definition), limit, replace];
      const { rows } = await pool.query<Row & { created: boolean }>(KEEP, values);
      const row = rows[0];
      if (row !== undefined) return { done: row.created ? 'created' : 'replaced', template: toTemplate(row) };
      return { done: (await find(tenantId, name)) === undefined ? 'too_many' : 'exists' };
    },
    async remove(tenantId, name) {
      return (await prisma.workflowTemplate.deleteMany({ where: { tenantId, name } })).count > 0;
    },
  };
}

function toTemplate({ definition, createdBy, createdAt, updatedAt }: Row): StoredTemplate {
  // It went in as a Definition.
  return { definition: definition as unknown as Definition, createdBy, createdAt, updatedAt };
}
