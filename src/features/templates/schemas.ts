/** Requests and responses of the API for templates of workflows. */
import { z } from 'zod';
import { count, json, object, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { jsonObject } from '../../schemas/requests.ts';

export const templateName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/, 'must begin with a letter or digit, then up to 99 of A-Z a-z 0-9 _ . -')
  .meta({ example: 'document_analysis' });

export const fromTemplateRequest = z
  .strictObject({
    template_name: z.string().min(1).max(255).meta({ example: 'document_analysis' }),
    customizations: jsonObject.default({}).meta({
      description:
        'Any fields of a definition. Objects are merged into those of the template, null removes a field, and any other value ' +
        'replaces it. `parameters` (by name) and `actions` (by action_id) are objects by their key, or lists of objects ' +
        'with the key: existing ones are changed, others are added, and in the object form null removes one. Actions that ' +
        'depended on a removed action depend on its dependencies instead.',
      example: { name: 'Custom Document Analysis', description: 'Customized workflow' },
    }),
  })
  .meta({
    id: 'FromTemplateRequest',
    example: {
      template_name: 'document_analysis',
      customizations: {
        name: 'Custom Document Analysis',
        description: 'Customized workflow',
        parameters: { analysis_types: { default: ['sentiment'] } },
        actions: { summarize_results: null },
        output: null,
      },
    },
  });

export const templateRequest = z
  .strictObject({
    template_name: templateName,
    definition: jsonObject.optional().meta({ description: 'A workflow definition, as for POST /workflows' }),
    workflow_id: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .meta({ description: 'The workflow to copy, instead of a definition' }),
    version: z.int().min(1).max(2_147_483_647).optional().meta({ description: 'The version of that workflow' }),
  })
  .refine(({ definition, workflow_id }) => (definition === undefined) !== (workflow_id === undefined), {
    error: 'either definition or workflow_id is required',
    path: ['definition'],
  })
  .refine(({ version, workflow_id }) => version === undefined || workflow_id !== undefined, {
    error: 'is the version of workflow_id',
    path: ['version'],
  })
  .meta({ id: 'TemplateRequest', example: { template_name: 'nightly_report', workflow_id: 'my-workflow' } });

const source = z.enum(['shipped', 'user']);

const summary = z
  .object({ name: text, description: text.nullable(), parameters_count: count, actions_count: count, source })
  .meta({ id: 'TemplateSummary' });

export const templateList = z.object({ templates: z.record(z.string(), summary), total_templates: count }).meta({
  id: 'TemplateList',
  example: {
    templates: {
      hello_world: {
        name: 'Hello World',
        description: 'Writes a message to the log',
        parameters_count: 1,
        actions_count: 1,
        source: 'shipped',
      },
    },
    total_templates: 1,
  },
});

export const template = z
  .object({
    template_name: text,
    source,
    name: text,
    description: text.nullable(),
    tags: z.array(text),
    parameters: z.array(object),
    actions: z.array(object),
    version: text.optional(),
    output: json.optional(),
    timeout_seconds: z.number().optional(),
    concurrency: object.optional(),
    dedupe: object.optional(),
    retention_days: z.int().min(1).optional(),
    metadata: object.optional(),
    created_by: text.optional(),
    created_at: time.optional(),
    updated_at: time.optional(),
  })
  .meta({
    id: 'Template',
    example: {
      template_name: 'hello_world',
      source: 'shipped',
      name: 'Hello World',
      description: 'Writes a message to the log',
      tags: ['example'],
      parameters: [{ name: 'message', type: 'string', required: false, default: 'Hello, World!' }],
      actions: [{ action_id: 'notify', action_type: 'notification', config: { message: '{{message}}' } }],
      created_at: WHEN,
    },
  });

export type TemplateAnswer = z.infer<typeof template>;
