/** Templates: definitions to make workflows from, those that are shipped and those that a tenant has saved. */

import type { Definition } from '../../domain/definition/definition.ts';
import { FaultList } from '../../domain/definition/fault-list.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { ManageWorkflows } from '../../engine/ports/manage-workflows.ts';
import type { StoredWorkflow } from '../../engine/ports/read-models.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { checkPermissions, type PermissionsOfTypes } from '../../engine/workflows/check-permissions.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { customise } from './domain.ts';

export interface TemplateSummary {
  name: string;
  description: string | null;
  parametersCount: number;
  actionsCount: number;
}
export interface StoredTemplate {
  definition: Definition;
  createdBy: string;
  createdAt: Date;
  updatedAt: Date;
}
/** `stored` is undefined for a shipped one. */
export interface Template {
  templateName: string;
  definition: Definition;
  stored?: Omit<StoredTemplate, 'definition'>;
}

export interface TemplateStore {
  /** By their names. */
  list(tenantId: string): Promise<Map<string, TemplateSummary>>;
  find(tenantId: string, name: string): Promise<StoredTemplate | undefined>;
  /** `replace`: also where there is one of that name. */
  save(
    caller: Caller,
    name: string,
    definition: Definition,
    options: { replace: boolean; limit: number },
  ): Promise<{ done: 'created' | 'replaced'; template: StoredTemplate } | { done: 'exists' } | { done: 'too_many' }>;
  remove(tenantId: string, name: string): Promise<boolean>;
}

export interface WorkflowTemplates {
  list(caller: Caller): Promise<Map<string, TemplateSummary & { source: 'shipped' | 'user' }>>;
  /** 404 unknown. */
  get(caller: Caller, name: string): Promise<Template>;
  /** Checked like any definition; a fault names the field of the customizations where it is fixed. */
  make(caller: Caller, name: string, customizations: JsonObject): Promise<StoredWorkflow>;
  /** 409 for the name of a shipped one, and for a name that is taken unless `replace`. */
  save(
    caller: Caller,
    name: string,
    definition: Definition,
    replace: boolean,
  ): Promise<{ created: boolean; template: Template }>;
  remove(caller: Caller, name: string): Promise<void>;
}

const MAX_PER_TENANT = 1_000;
const UNWORKABLE = 'The template with these customizations is not a valid definition';

export function createWorkflowTemplates(deps: {
  shipped: ReadonlyMap<string, Definition>;
  templates: TemplateStore;
  workflows: Pick<ManageWorkflows, 'create'>;
  actionTypes: PermissionsOfTypes;
}): WorkflowTemplates {
  const { shipped, templates } = deps;

  async function get(caller: Caller, name: string): Promise<Template> {
    const definition = shipped.get(name);
    if (definition !== undefined) return { templateName: name, definition };
    const found = await templates.find(caller.tenantId, name);
    if (found === undefined) throw new OrchestratorError('not_found', 'Template not found');
    const { definition: own, ...stored } = found;
    return { templateName: name, definition: own, stored: stored };
  }

  function rejectShipped(name: string, verb: string): void {
    if (shipped.has(name))
      throw new OrchestratorError('conflict', `The template '${name}' is shipped and cannot be ${verb}`);
  }

  return {
    get,
    async list({ tenantId }) {
      const own = await templates.list(tenantId);
      const listed = new Map<string, TemplateSummary & { source: 'shipped' | 'user' }>();
      for (const [name, definition] of shipped) listed.set(name, { ...summaryOf(definition), source: 'shipped' });
      for (const [name, summary] of own) if (!listed.has(name)) listed.set(name, { ...summary, source: 'user' });
      return listed;
    },
    async make(caller, name, customizations) {
      const { body, placed } = customise((await get(caller, name)).definition, customizations);
      try {
        return await deps.workflows.create(caller, body);
      } catch (error) {
        if (!(error instanceof OrchestratorError) || error.errors.length === 0) throw error;
        const faults = new FaultList();
        faults.addAll(error.errors.map(placed));
        throw faults.toError(error.code, UNWORKABLE);
      }
    },
    async save(caller, name, definition, replace) {
      rejectShipped(name, 'replaced');
      checkPermissions(deps.actionTypes, caller, definition);
      const saved = await templates.save(caller, name, definition, { replace, limit: MAX_PER_TENANT });
      if (saved.done === 'exists') throw new OrchestratorError('conflict', `There is a template '${name}' already`);
      if (saved.done === 'too_many') {
        const message = `There are ${MAX_PER_TENANT} templates already, which is all there may be`;
        throw new OrchestratorError('conflict', message);
      }
      const { definition: stored, ...rest } = saved.template;
      return { created: saved.done === 'created', template: { templateName: name, definition: stored, stored: rest } };
    },
    async remove({ tenantId }, name) {
      rejectShipped(name, 'deleted');
      if (!(await templates.remove(tenantId, name))) throw new OrchestratorError('not_found', 'Template not found');
    },
  };
}

function summaryOf({ name, description, parameters, actions }: Definition): TemplateSummary {
  return {
    name,
    description: description ?? null,
    parametersCount: parameters.length,
    actionsCount: actions.length,
  };
}
