/** Templates of workflows: those that are shipped, and those that a tenant has saved. */

import { OrchestratorError } from '../../domain/errors.ts';
import type { DefinitionRules } from '../../engine/ports/definitions.ts';
import type { WorkflowStore } from '../../engine/ports/read-models.ts';
import { readDefinition } from '../../engine/workflows/read-definition.ts';
import { etagOf, presentWorkflow } from '../../http/routes/workflows.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import { parse } from '../../http/server/parse.ts';
import { workflowCreateInput } from '../../schemas/definition.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { jsonObject } from '../../schemas/requests.ts';
import { workflow } from '../../schemas/workflow-answers.ts';
import type { Template, WorkflowTemplates } from './manage-templates.ts';
import * as schemas from './schemas.ts';

const tag = 'Workflows';
const UNKNOWN = 'Template not found';
/** What an answer has and a definition has not: a client may send back what it got. */
const READ_ONLY: ReadonlySet<string> = new Set(['template_name', 'source', 'created_by', 'created_at', 'updated_at']);
const SAMPLE = 'hello_world';
const madeWorkflow = {
  201: {
    description: 'Created',
    schema: workflow,
    headers: { Location: 'URL of the created resource', ETag: 'Version of the workflow, for If-Match' },
  },
};

export const listTemplates = operation({
  id: 'listWorkflowTemplates',
  permission: 'workflows:read',
  tag,
  method: 'get',
  path: '/workflows/templates',
  summary: 'List workflow templates',
  description: 'Returns the built-in templates and those of the tenant, sorted by name.',
  answers: { 200: { description: 'All templates', schema: schemas.templateList } },
});

export const createTemplate = operation({
  id: 'createWorkflowTemplate',
  permission: 'workflows:write',
  tag,
  method: 'post',
  path: '/workflows/templates',
  summary: 'Create a workflow template',
  description: 'Stores a definition, or a copy of a workflow, as a template of the tenant.',
  body: schemas.templateRequest,
  answers: {
    201: { description: 'Created', schema: schemas.template, headers: { Location: 'URL of the created resource' } },
  },
  problems: ['conflict', 'definition_invalid', 'not_found'],
});

export const getTemplate = operation({
  id: 'getWorkflowTemplate',
  permission: 'workflows:read',
  tag,
  method: 'get',
  path: '/workflows/templates/{template_name}',
  pathExamples: { template_name: 'hello_world' },
  summary: 'Get a workflow template',
  description: 'Returns the template with its parameters and actions.',
  notFound: UNKNOWN,
  answers: { 200: { description: 'The template', schema: schemas.template } },
});

export const putTemplate = operation({
  id: 'putWorkflowTemplate',
  permission: 'workflows:write',
  tag,
  method: 'put',
  path: '/workflows/templates/{template_name}',
  pathExamples: { template_name: 'hello_world' },
  summary: 'Create or replace a workflow template',
  description:
    'Stores a definition as a template of the tenant, and replaces an existing one of that name. A built-in template cannot be replaced (409).',
  body: jsonObject,
  bodyDocument: workflowCreateInput,
  answers: {
    200: { description: 'Replaced', schema: schemas.template },
    201: { description: 'Created', schema: schemas.template, headers: { Location: 'URL of the created resource' } },
  },
  problems: ['conflict', 'definition_invalid'],
});

export const deleteTemplate = operation({
  id: 'deleteWorkflowTemplate',
  permission: 'workflows:write',
  tag,
  method: 'delete',
  path: '/workflows/templates/{template_name}',
  pathExamples: { template_name: 'hello_world' },
  summary: 'Delete a workflow template',
  description: 'Deletes a template of the tenant. Workflows that were created from it are not affected.',
  notFound: UNKNOWN,
  answers: { 204: { description: 'Deleted' } },
  problems: ['conflict'],
});

export const createFromTemplate = operation({
  id: 'createWorkflowFromTemplate',
  permission: 'workflows:write',
  tag,
  method: 'post',
  path: '/workflows/from-template',
  summary: 'Create a workflow from a template',
  description: 'Any field of the template can be customized.',
  body: schemas.fromTemplateRequest,
  notFound: UNKNOWN,
  answers: madeWorkflow,
  problems: ['definition_invalid'],
});

export const createSampleWorkflow = operation({
  id: 'createSampleWorkflow',
  permission: 'workflows:write',
  tag,
  method: 'post',
  path: '/workflows/examples/create-sample-workflow',
  summary: 'Create a sample workflow',
  description: 'Creates the workflow of the template hello_world.',
  notFound: 'Template not found',
  body: jsonObject.optional().meta({ example: {} }),
  bodyOptional: true,
  answers: madeWorkflow,
});

interface Needs {
  templates: WorkflowTemplates;
  definitions: DefinitionRules;
  workflows: Pick<WorkflowStore, 'find'>;
  links: Links;
}

export const workflowTemplateRoutes = endpoints(
  [listTemplates, createTemplate, getTemplate, putTemplate, deleteTemplate, createFromTemplate, createSampleWorkflow],
  serve,
);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  const { templates } = deps;
  const at = (name: string) => links.at(`/workflows/templates/${encodeURIComponent(name)}`);

  routes.serve(listTemplates, async ({ caller, response }) => {
    const listed = [...(await templates.list(caller))].map(([key, one]) => {
      const { name, description, parametersCount: parameters_count, actionsCount: actions_count, source } = one;
      return [key, { name, description, parameters_count, actions_count, source }];
    });
    sendJson(response, 200, { templates: Object.fromEntries(listed), total_templates: listed.length });
  });

  routes.serve(createTemplate, async ({ body, caller, response }) => {
    const { template_name: name, definition, workflow_id: workflowId, version } = body;
    const { template } = await templates.save(caller, name, await definitionOf(), false);
    response.setHeader('Location', at(name));
    sendJson(response, 201, presentTemplate(template));

    async function definitionOf() {
      if (workflowId === undefined) return normalised(definition ?? {}, 'definition');
      const found = await deps.workflows.find(caller.tenantId, workflowId, version);
      if (found === undefined) throw notFound('Workflow not found');
      return found.definition;
    }
    async function normalised(written: JsonObject, field: string) {
      try {
        return await readDefinition(deps.definitions, caller, written);
      } catch (error) {
        throw placedBelow(field, error);
      }
    }
  });

  routes.serve(getTemplate, async ({ params, caller, response }) => {
    sendJson(response, 200, presentTemplate(await templates.get(caller, params['template_name'] ?? '')));
  });

  routes.serve(putTemplate, async ({ params, body, caller, response }) => {
    const name = parse(schemas.templateName, params['template_name']);
    const written = Object.fromEntries(Object.entries(body).filter(([field]) => !READ_ONLY.has(field)));
    const definition = await readDefinition(deps.definitions, caller, written);
    const { created, template } = await templates.save(caller, name, definition, true);
    if (created) response.setHeader('Location', at(name));
    sendJson(response, created ? 201 : 200, presentTemplate(template));
  });

  routes.serve(deleteTemplate, async ({ params, caller, response }) => {
    await templates.remove(caller, params['template_name'] ?? '');
    response.status(204).end();
  });

  routes.serve(createFromTemplate, async ({ body, caller, response }) => {
    const made = await templates.make(caller, body.template_name, body.customizations);
    response.setHeader('Location', links.workflow(made.id));
    response.setHeader('ETag', etagOf(made));
    sendJson(response, 201, presentWorkflow(made));
  });

  routes.serve(createSampleWorkflow, async ({ caller, response }) => {
    const made = await templates.make(caller, SAMPLE, {});
    response.setHeader('Location', links.workflow(made.id));
    response.setHeader('ETag', etagOf(made));
    sendJson(response, 201, presentWorkflow(made));
  });
}

function presentTemplate({ templateName, definition, stored }: Template): schemas.TemplateAnswer {
  const { name, description, tags, parameters, actions, ...more } = definition;
  return {
    template_name: templateName,
    source: stored === undefined ? 'shipped' : 'user',
    name,
    description: description ?? null,
    tags,
    // The domain's interfaces contain JSON only, which their types cannot say.
    parameters: parameters as unknown as JsonObject[],
    actions: actions as unknown as JsonObject[],
    ...(more as Pick<schemas.TemplateAnswer, 'version' | 'output' | 'timeout_seconds' | 'metadata'>),
    ...(stored === undefined
      ? {}
      : {
          created_by: stored.createdBy,
          created_at: stored.createdAt.toISOString(),
          updated_at: stored.updatedAt.toISOString(),
        }),
  };
}

/** Faults below a field of the body get that field as their prefix. */
function placedBelow(field: string, error: unknown): unknown {
  if (!(error instanceof OrchestratorError) || error.errors.length === 0) return error;
  const errors = error.errors.map(({ path, message }) => ({ path: path === '' ? field : `${field}.${path}`, message }));
  return new OrchestratorError(error.code, error.message, { errors });
}
