/** Templates, search, statistics, history and activity of workflows, put together. */
import type pg from 'pg';
import type { Definition } from '../domain/definition.ts';
import type { Definitions } from '../engine/ports.ts';
import type { WorkflowStore } from '../engine/read-models.ts';
import type { WorkflowCatalog } from '../engine/workflow-catalog.ts';
import { createWorkflowTemplates } from '../engine/workflow-templates.ts';
import type { JsonObject } from '../schemas/json.ts';
import { readShippedTemplates } from '../store/shipped-templates.ts';
import { createActivityReader, createHistoryReader } from '../store/workflow-history.ts';
import { createWorkflowSearch } from '../store/workflow-search.ts';
import { createStatisticsReader } from '../store/workflow-statistics.ts';
import { createTemplateStore } from '../store/workflow-templates.ts';

export function createWorkflowCatalog(
  pool: pg.Pool,
  deps: {
    workflows: Pick<WorkflowStore, 'create'>;
    definitions: Pick<Definitions, 'load'>;
    normalise(tenantId: string, body: JsonObject): Promise<{ definition: Definition }>;
    /** Of what is shipped. */
    normaliseOwn(body: JsonObject): { definition: Definition };
  },
): WorkflowCatalog {
  const { workflows, definitions, normalise, normaliseOwn } = deps;
  const read = [...readShippedTemplates()];
  const shipped = new Map(read.map(([name, body]) => [name, normaliseOwn(body).definition]));
  return {
    templates: createWorkflowTemplates({ shipped, templates: createTemplateStore(pool), workflows, normalise }),
    search: createWorkflowSearch(pool),
    statistics: createStatisticsReader(pool),
    history: createHistoryReader(pool, definitions),
    activity: createActivityReader(pool),
  };
}
