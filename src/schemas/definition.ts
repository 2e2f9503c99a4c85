/**
 * What clients send as a workflow definition: the contract's form, with the older spellings beside it, and the flow
 * form. A schema only says what fits; `domain/normalise.ts` says what can work and fills in the defaults. Optional
 * fields may be null, which many clients send for "left out"; a config that is null is refused, for it says nothing of what
 * it should have been.
 */
import { z } from 'zod';
import { type Parsed, parseWith } from './faults.ts';

const MAX_ACTIONS = 10_000;
const MAX_ITEMS = 10_000;
const MAX_ITERATIONS = 10_000;
const MAX_PARAMETERS = 1_000;
const MAX_TRIGGERS = 20;
const MAX_SHORT_TEXT = 1_000;
const MAX_LONG_TEXT = 65_536;
const MAX_EXPRESSION = 10_000;
const MAX_ATTEMPTS = 1_000;
/** A Node timer holds no more than 2^31 ms; about 23 days. */
const MAX_TIMEOUT_SECONDS = 2_000_000;
const MAX_DELAY_SECONDS = 315_360_000;
const MAX_RETENTION_DAYS = 36_500;

/** What a template can name without quoting: parts of letters, digits, `_`, `-` and `:`, joined by single dots. */
export const ID_PATTERN = /^[\p{L}\p{N}_:-]+(?:\.[\p{L}\p{N}_:-]+)*$/u;
const ID_MESSAGE =
  "must be made of letters, digits, '_', '-', ':' and single dots in between, so that templates can name it";

const id = z.string().min(1).max(255).regex(ID_PATTERN, ID_MESSAGE);
const shortText = z.string().max(MAX_SHORT_TEXT);
const longText = z.string().max(MAX_LONG_TEXT);
const expression = z.string().trim().min(1).max(MAX_EXPRESSION);
const version = z.union([z.string().max(255), z.number()], { error: 'must be a string or a number' });
const seconds = z.number().min(0).max(MAX_DELAY_SECONDS);
const timeout = z.number().positive().max(MAX_TIMEOUT_SECONDS);
const metadata = z.record(z.string(), z.unknown());
const template = z.union([z.record(z.string(), z.unknown()), z.string()], {
  error: 'must be an object, or a template that gives one',
});

function older<S extends z.ZodType>(schema: S, instead: string) {
  return schema.nullish().meta({ deprecated: true, description: `Older spelling of ${instead}.` });
}

export const cacheInput = z
  .strictObject({
    key: longText
      .trim()
      .min(1)
      .meta({ description: 'A template over parameters, the run and outputs; without secrets.' }),
    ttl_seconds: z.number().positive().max(MAX_DELAY_SECONDS),
  })
  .meta({ id: 'Cache', examples: [{ key: '{{params.url}}', ttl_seconds: 3600 }] });

export const dedupeInput = z
  .strictObject({
    key: longText.trim().min(1).meta({
      description: 'A template over parameters and what is known of the run when it is accepted; without secrets.',
    }),
    window_seconds: z.number().positive().max(MAX_DELAY_SECONDS),
    policy: z.enum(['reject', 'return_existing']).nullish().meta({ description: '`reject` without it (409).' }),
  })
  .meta({ id: 'Dedupe', examples: [{ key: '{{params.order_id}}', window_seconds: 3600, policy: 'return_existing' }] });

export const concurrencyInput = z
  .strictObject({
    key: longText.trim().min(1).meta({
      description: 'A template over parameters and what is known of the run when it is accepted; without secrets.',
    }),
    limit: z
      .int()
      .min(1)
      .max(100_000)
      .meta({ description: 'So many executions with one key are under way at a time.' }),
    policy: z.enum(['queue', 'reject', 'replace']).nullish().meta({
      description: '`queue` without it: further ones wait. `reject`: 409. `replace`: the oldest are cancelled.',
    }),
  })
  .meta({ id: 'Concurrency', examples: [{ key: '{{params.customer}}', limit: 1, policy: 'queue' }] });

const eventPattern = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^*\s]*\*?$/, 'must be the type of events, with a star at its end at most')
  .meta({ description: 'The type of an event; `order.*` stands for all that begin so', examples: ['order.paid'] });

export const triggerInput = z
  .strictObject({
    event: eventPattern,
    source: z
      .string()
      .min(1)
      .max(2_000)
      .nullish()
      .meta({ description: 'Of the event; a star at its end is taken too.' }),
    filter: expression.nullish().meta({ description: 'CEL over `event`; it starts when that is true.' }),
    parameters: z
      .record(z.string().min(1).max(255), z.unknown())
      .nullish()
      .meta({ description: 'Of the execution, with templates over `event`; without it the parameter `event`.' }),
    correlation_key: longText
      .trim()
      .min(1)
      .nullish()
      .meta({ description: 'A template over `event`: the correlation id of the execution.' }),
  })
  .meta({
    id: 'Trigger',
    description: 'Events that start the workflow (`POST /events`).',
    examples: [
      { event: 'order.paid', filter: 'event.data.amount > 100', parameters: { order_id: '{{event.data.order_id}}' } },
    ],
  });

export const parameterInput = z
  .strictObject({
    name: z.string().min(1).max(255).meta({ description: 'Templates name it as {{name}} or {{params.name}}.' }),
    type: z
      .enum(['string', 'integer', 'number', 'boolean', 'object', 'array', 'float', 'file'])
      .meta({ description: '`float` is an older spelling of number; `file` is refused (422).' }),
    description: longText.nullish(),
    required: z.boolean().nullish().meta({ description: 'Without it: true when there is no default.' }),
    default: z.unknown().optional().meta({ description: 'The value when none, or null, is given.' }),
    enum: z
      .array(z.unknown())
      .min(1)
      .max(MAX_PARAMETERS)
      .nullish()
      .meta({ description: 'The allowed values; of an array, those of its items.' }),
    min_length: z.int().min(0).nullish().meta({ description: 'Of a string (characters) or an array (items).' }),
    max_length: z.int().min(0).nullish(),
    pattern: shortText.nullish().meta({ description: 'RE2 syntax; it may match anywhere in the string.' }),
    default_value: older(z.unknown(), '`default`'),
    allowed_values: older(z.array(z.unknown()).max(MAX_PARAMETERS), '`enum`'),
    validation_rules: older(
      z.strictObject({
        min_length: z.int().min(0).nullish(),
        max_length: z.int().min(0).nullish(),
        pattern: shortText.nullish(),
      }),
      '`min_length`, `max_length` and `pattern`',
    ),
  })
  .meta({ id: 'Parameter', examples: [{ name: 'document_url', type: 'string', required: true }] });
export type ParameterInput = z.output<typeof parameterInput>;

export const retryInput = z
  .strictObject({
    max_attempts: z.int().min(1).max(MAX_ATTEMPTS).nullish().meta({ description: 'All tries, the first included.' }),
    backoff: z.enum(['exponential', 'fixed', 'linear']).nullish(),
    initial_delay_seconds: seconds.nullish().meta({ description: 'Before the second attempt.' }),
    multiplier: z.number().min(1).max(100).nullish().meta({
      description: 'Of exponential backoff: each delay is so many times the one before it; 2 without it.',
    }),
    max_delay_seconds: seconds.nullish(),
    jitter: z.number().min(0).max(1).nullish().meta({ description: 'The part of a delay that chance may take away.' }),
    non_retryable: z.array(shortText).max(100).nullish().meta({ description: 'Error codes that are not tried again.' }),
  })
  .meta({ id: 'Retry', examples: [{ max_attempts: 3, backoff: 'exponential', initial_delay_seconds: 2 }] });

export const forEachInput = z
  .strictObject({
    items: z.union([z.array(z.unknown()), z.string().trim().min(1).max(MAX_EXPRESSION)], {
      error: 'must be a list, a template that gives one, or CEL',
    }),
    max_parallel: z.int().min(1).max(MAX_ITEMS).nullish().meta({ description: 'Items under way at once.' }),
    on_item_failure: z
      .enum(['fail', 'continue'])
      .nullish()
      .meta({ description: '`continue`: the output holds null for an item that failed.' }),
  })
  .meta({
    id: 'ForEach',
    description: `Runs the action once for every item, at most ${MAX_ITEMS}; its output is the list of outputs in the order of the items.`,
    examples: [{ items: '{{fetch.response.documents}}', max_parallel: 10, on_item_failure: 'continue' }],
  });

export const repeatInput = z
  .strictObject({
    until: expression.meta({ description: 'CEL; sees `output` and `iteration` of the iteration that has ended.' }),
    max_iterations: z.int().min(1).max(MAX_ITERATIONS),
    delay_seconds: seconds.nullish().meta({ description: 'Between two iterations.' }),
  })
  .meta({
    id: 'Repeat',
    description: 'Runs the action again and again until the condition holds; its output is that of the last iteration.',
    examples: [{ until: 'output.response.state == "done"', max_iterations: 20, delay_seconds: 5 }],
  });

export const compensationInput = z
  .strictObject({
    action_type: z.string().min(1).max(255),
    config: template.optional().meta({ description: 'Templates in it may name the output of the action itself.' }),
    retry: retryInput.nullish(),
    timeout_seconds: timeout.nullish().meta({ description: 'Of one attempt; 300 without it.' }),
  })
  .meta({
    id: 'Compensation',
    examples: [
      { action_type: 'http_request', config: { url: 'https://shop/orders/{{order.body.id}}', method: 'DELETE' } },
    ],
  });

export const actionInput = z
  .strictObject({
    action_id: id.nullish().meta({ description: `${ID_MESSAGE}. Without it: the snake_case of \`name\`.` }),
    action_type: z.string().min(1).max(255).meta({ description: 'An adapter; GET /action-types lists them.' }),
    name: shortText.nullish(),
    description: longText.nullish(),
    config: template
      .optional()
      .meta({ description: 'The input of the adapter; strings in it may hold {{templates}}.' }),
    depends_on: z.array(z.string().max(255)).max(MAX_ACTIONS).nullish(),
    when: expression.nullish().meta({ description: 'CEL over `params`, `run` and outputs; false skips the action.' }),
    run_if: z.enum(['all_succeeded', 'all_done', 'any_succeeded']).nullish(),
    retry: retryInput.nullish(),
    timeout_seconds: timeout.nullish().meta({ description: 'Of one attempt; 300 without it.' }),
    heartbeat_timeout_seconds: timeout.nullish().meta({
      description: 'The adapter has to report (progress, heartbeat, output) at least this often, or the attempt fails.',
    }),
    delay_seconds: seconds.nullish().meta({ description: 'Waits this long once its dependencies are done.' }),
    priority: z.int().min(1).max(100).nullish().meta({ description: '1 is first; without it that of the run.' }),
    on_failure: z.enum(['fail', 'continue', 'compensate']).nullish(),
    idempotent: z.boolean().nullish().meta({
      description: 'Running it again changes nothing outside. Without it: as GET /action-types says of its type.',
    }),
    metadata: metadata.nullish().meta({ description: 'Kept and shown, never read.' }),
    for_each: forEachInput.nullish(),
    compensate: compensationInput.nullish().meta({
      description: 'Undoes the action, once it has completed, when the run fails or is cancelled.',
    }),
    repeat: repeatInput.nullish(),
    cache: cacheInput.nullish().meta({ description: 'Its output serves later executions with the same key.' }),
    condition: older(expression, '`when`; `{{a.b}}` in it becomes `a.b`'),
    retry_count: older(
      z
        .int()
        .min(0)
        .max(MAX_ATTEMPTS - 1),
      '`retry.max_attempts`, which is one more',
    ),
    retry_delay: older(seconds, '`retry.initial_delay_seconds`, with fixed backoff'),
    continue_on_error: older(z.boolean(), '`on_failure: continue`'),
    on_error: older(z.enum(['fail', 'stop', 'continue', 'skip', 'ignore']), '`on_failure`'),
  })
  .meta({
    id: 'Action',
    examples: [{ action_id: 'greet', action_type: 'notification', config: { message: '{{message}}' } }],
  });
export type ActionInput = z.output<typeof actionInput>;

const workflowFields = {
  name: z.string().trim().min(1).max(255),
  description: longText.nullish(),
  version: version.nullish().meta({ description: 'A label of your own; versions are numbered apart from it.' }),
  tags: z.array(z.string().min(1).max(255)).max(100).nullish(),
  parameters: z.array(parameterInput).max(MAX_PARAMETERS).nullish(),
  actions: z.array(actionInput).min(1).max(MAX_ACTIONS),
  output: z.unknown().optional().meta({
    description: 'A template for the output of a run; without it the outputs of the last actions by their ids.',
  }),
  on_failure: z.enum(['fail', 'continue', 'compensate']).nullish().meta({
    description: '`compensate`: as `fail`, and some action must have `compensate`. `continue` is refused (422).',
  }),
  metadata: metadata.nullish().meta({ description: 'Kept and shown, never read.' }),
  timeout_seconds: timeout
    .nullish()
    .meta({ description: 'Of a whole run, from its acceptance (after its delay); none without it.' }),
  concurrency: concurrencyInput.nullish().meta({ description: 'How many executions with one key run at a time.' }),
  dedupe: dedupeInput.nullish().meta({ description: 'One execution for each key within the window.' }),
  triggers: z.array(triggerInput).max(MAX_TRIGGERS).nullish().meta({ description: 'Events that start it.' }),
  retention_days: z.int().min(1).max(MAX_RETENTION_DAYS).nullish().meta({
    description:
      'Executions are removed so many days after they ended, whatever RETENTION_DAYS says; as that says without it.',
  }),
};

/** The contract's form, whole. */
export const workflowInput = z.strictObject(workflowFields).meta({
  id: 'WorkflowDefinition',
  description: 'A workflow: named actions and what they wait for.',
  examples: [
    {
      name: 'Hello World',
      parameters: [{ name: 'message', type: 'string', required: true }],
      actions: [{ action_id: 'greet', action_type: 'notification', config: { message: '{{message}}' } }],
    },
  ],
});
export type WorkflowInput = z.output<typeof workflowInput>;

/** Any subset of the fields, for PUT; null takes an optional field away. */
export const workflowUpdateInput = z
  .strictObject({
    ...workflowFields,
    name: workflowFields.name.optional(),
    actions: workflowFields.actions.optional(),
    status: z
      .enum(['active', 'paused', 'archived'])
      .optional()
      .meta({ description: 'Only an active workflow accepts runs. Changing it alone makes no new version.' }),
    canary_percent: z.int().min(0).max(100).optional().meta({
      description: 'The new version does not become the current one: it gets that share of the executions.',
    }),
  })
  .meta({
    id: 'WorkflowUpdate',
    description: 'Any subset of the fields of a workflow.',
    examples: [{ description: 'Updated description', tags: ['updated', 'v2'] }],
  });
export type WorkflowUpdateInput = z.output<typeof workflowUpdateInput>;

export const flowTaskInput = z.strictObject({
  id,
  handler: z.string().min(1).max(255).meta({ description: 'The `action_type`.' }),
  inputs: template.nullish().meta({ description: 'The `config`.' }),
  retries: z
    .int()
    .min(0)
    .max(MAX_ATTEMPTS - 1)
    .nullish()
    .meta({ description: 'Tries after the first; 3 without it.' }),
  timeout: timeout.nullish().meta({ description: 'Seconds of one attempt; 300 without it.' }),
  condition: z.string().max(MAX_EXPRESSION).nullish().meta({ description: 'CEL; the older `{{a.b}}` becomes `a.b`.' }),
  depends_on: z.array(z.string().max(255)).max(MAX_ACTIONS).nullish(),
  metadata: metadata.nullish(),
});
export type FlowTaskInput = z.output<typeof flowTaskInput>;

export const flowInput = z
  .strictObject({
    id: z.string().trim().min(1).max(255).meta({ description: 'Becomes the name of the workflow.' }),
    version: version.nullish(),
    type: z.enum(['DAG', 'STATE_MACHINE']).nullish().meta({ description: 'Both are run by `depends_on`.' }),
    tasks: z.array(flowTaskInput).min(1).max(MAX_ACTIONS),
    tenant_id: z.string().max(255).nullish(),
    metadata: metadata.nullish(),
  })
  .meta({
    id: 'FlowDefinition',
    description: 'The older flow form of a workflow.',
    examples: [
      { id: 'greeting', version: '1', type: 'DAG', tasks: [{ id: 'greet', handler: 'test_task', inputs: {} }] },
    ],
  });
export type FlowInput = z.output<typeof flowInput>;

/** The body of `POST /workflows`, for the document; `parseDefinition` gives better faults than the union itself. */
export const workflowCreateInput = z.union([workflowInput, flowInput]);

export type DefinitionInput = { form: 'workflow'; value: WorkflowInput } | { form: 'flow'; value: FlowInput };

/** A body with `tasks` and no `actions` is in the flow form. */
export function parseDefinition(body: unknown): Parsed<DefinitionInput> {
  if (isFlow(body)) {
    const flow = parseWith(flowInput, body);
    return flow.ok ? { ok: true, value: { form: 'flow', value: flow.value } } : flow;
  }
  const workflow = parseWith(workflowInput, body);
  return workflow.ok ? { ok: true, value: { form: 'workflow', value: workflow.value } } : workflow;
}

function isFlow(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, 'tasks') && !Object.hasOwn(body, 'actions');
}
