/**
 * What clients send as a workflow definition: the contract's form, with the older spellings beside it, and the flow
 * form. A schema only says what fits; `domain/definition/normalise.ts` says what can work and fills in the defaults. Optional
 * fields may be null, which many clients send for "left out"; a config that is null is rejected, for it says nothing of what
 * it should have been.
 */
import { z } from 'zod';
import { exampleOf } from './answer-shapes.ts';
import { type Parsed, parseWith } from './faults.ts';

const MAX_ACTIONS = 10_000;
export const MAX_ITEMS = 10_000;
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
      description: 'A template over parameters and what is known of the execution on acceptance; without secrets.',
    }),
    window_seconds: z.number().positive().max(MAX_DELAY_SECONDS),
    policy: z.enum(['reject', 'return_existing']).nullish().meta({ description: '`reject` (409) by default.' }),
  })
  .meta({ id: 'Dedupe', examples: [{ key: '{{params.order_id}}', window_seconds: 3600, policy: 'return_existing' }] });

export const concurrencyInput = z
  .strictObject({
    key: longText.trim().min(1).meta({
      description: 'A template over parameters and what is known of the execution on acceptance; without secrets.',
    }),
    limit: z
      .int()
      .min(1)
      .max(100_000)
      .meta({ description: 'Maximum number of executions with the same key that run at a time.' }),
    policy: z.enum(['queue', 'reject', 'replace']).nullish().meta({
      description:
        '`queue` (the default): further executions wait. `reject`: 409. `replace`: the oldest ones are cancelled.',
    }),
  })
  .meta({ id: 'Concurrency', examples: [{ key: '{{params.customer}}', limit: 1, policy: 'queue' }] });

const eventPattern = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^*\s]*\*?$/, 'must be the type of events, with a star at its end at most')
  .meta({
    description: 'The type of the event; `order.*` matches all types with that prefix',
    examples: ['order.paid'],
  });

export const triggerInput = z
  .strictObject({
    event: eventPattern,
    source: z
      .string()
      .min(1)
      .max(2_000)
      .nullish()
      .meta({ description: 'The source of the event; a trailing `*` matches any suffix.' }),
    filter: expression
      .nullish()
      .meta({ description: 'A CEL condition over `event`; the workflow starts when it is true.' }),
    parameters: z.record(z.string().min(1).max(255), z.unknown()).nullish().meta({
      description: 'Parameters of the execution, with templates over `event`; by default the single parameter `event`.',
    }),
    correlation_key: longText
      .trim()
      .min(1)
      .nullish()
      .meta({ description: 'A template over `event` for the correlation id of the execution.' }),
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
    name: z.string().min(1).max(255).meta({ description: 'Templates refer to it as {{name}} or {{params.name}}.' }),
    type: z
      .enum(['string', 'integer', 'number', 'boolean', 'object', 'array', 'float', 'file'])
      .meta({ description: '`float` is an older spelling of number; `file` is rejected (422).' }),
    description: longText.nullish(),
    required: z.boolean().nullish().meta({ description: 'By default true when the parameter has no default.' }),
    default: z.unknown().optional().meta({ description: 'The value used when none, or null, is passed.' }),
    enum: z
      .array(z.unknown())
      .min(1)
      .max(MAX_PARAMETERS)
      .nullish()
      .meta({ description: 'The allowed values; for an array, those of its items.' }),
    min_length: z
      .int()
      .min(0)
      .nullish()
      .meta({ description: 'Minimum length of a string (characters) or an array (items).' }),
    max_length: z.int().min(0).nullish(),
    pattern: shortText.nullish().meta({ description: 'A pattern in RE2 syntax; it may match anywhere in the string.' }),
    default_value: z.unknown().optional().meta({ deprecated: true, description: 'Older spelling of `default`.' }),
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
    max_attempts: z
      .int()
      .min(1)
      .max(MAX_ATTEMPTS)
      .nullish()
      .meta({ description: 'Maximum number of attempts, the first one included.' }),
    backoff: z.enum(['exponential', 'fixed', 'linear']).nullish(),
    initial_delay_seconds: seconds.nullish().meta({ description: 'Delay before the second attempt.' }),
    multiplier: z.number().min(1).max(100).nullish().meta({
      description: 'Factor of exponential backoff: each delay is this many times the previous one; 2 by default.',
    }),
    max_delay_seconds: seconds.nullish(),
    jitter: z
      .number()
      .min(0)
      .max(1)
      .nullish()
      .meta({ description: 'The fraction of a delay that may be subtracted at random.' }),
    non_retryable: z.array(shortText).max(100).nullish().meta({ description: 'Error codes that are not retried.' }),
  })
  .meta({ id: 'Retry', examples: [{ max_attempts: 3, backoff: 'exponential', initial_delay_seconds: 2 }] });

export const forEachInput = z
  .strictObject({
    items: z.union([z.array(z.unknown()), z.string().trim().min(1).max(MAX_EXPRESSION)], {
      error: 'must be a list, a template that gives one, or CEL',
    }),
    max_parallel: z
      .int()
      .min(1)
      .max(MAX_ITEMS)
      .nullish()
      .meta({ description: 'Maximum number of items that run at once.' }),
    on_item_failure: z
      .enum(['fail', 'continue'])
      .nullish()
      .meta({ description: '`continue`: the output contains null for an item that failed.' }),
  })
  .meta({
    id: 'ForEach',
    description: `Runs the action once for every item, at most ${MAX_ITEMS}; its output is the list of outputs in the order of the items.`,
    examples: [{ items: '{{fetch.response.documents}}', max_parallel: 10, on_item_failure: 'continue' }],
  });

export const repeatInput = z
  .strictObject({
    until: expression.meta({
      description: 'A CEL condition over the `output` and `iteration` of the completed iteration.',
    }),
    max_iterations: z.int().min(1).max(MAX_ITERATIONS),
    delay_seconds: seconds.nullish().meta({ description: 'Delay between two iterations.' }),
  })
  .meta({
    id: 'Repeat',
    description: 'Repeats the action until the condition is true; its output is that of the last iteration.',
    examples: [{ until: 'output.response.state == "done"', max_iterations: 20, delay_seconds: 5 }],
  });

export const compensationInput = z
  .strictObject({
    action_type: z.string().min(1).max(255),
    config: template.optional().meta({ description: 'Templates in it may refer to the output of the action itself.' }),
    retry: retryInput.nullish(),
    timeout_seconds: timeout.nullish().meta({ description: 'Timeout of one attempt; 300 by default.' }),
  })
  .meta({
    id: 'Compensation',
    examples: [
      { action_type: 'http_request', config: { url: 'https://shop/orders/{{order.body.id}}', method: 'DELETE' } },
    ],
  });

export const actionInput = z
  .strictObject({
    action_id: id.nullish().meta({ description: `${ID_MESSAGE}. By default the snake_case of \`name\`.` }),
    action_type: z
      .string()
      .min(1)
      .max(255)
      .meta({ description: 'The adapter that runs the action; GET /action-types lists them.' }),
    name: shortText.nullish(),
    description: longText.nullish(),
    config: template
      .optional()
      .meta({ description: 'The input of the adapter; strings in it may contain {{templates}}.' }),
    depends_on: z.array(z.string().max(255)).max(MAX_ACTIONS).nullish(),
    when: expression.nullish().meta({
      description: 'A CEL condition over `params`, `run` and outputs; when it is false, the action is skipped.',
    }),
    run_if: z.enum(['all_succeeded', 'all_done', 'any_succeeded']).nullish(),
    retry: retryInput.nullish(),
    timeout_seconds: timeout.nullish().meta({ description: 'Timeout of one attempt; 300 by default.' }),
    heartbeat_timeout_seconds: timeout.nullish().meta({
      description: 'The adapter must report (progress, heartbeat, output) at least this often, or the attempt fails.',
    }),
    delay_seconds: seconds.nullish().meta({ description: 'Delay after all dependencies have ended.' }),
    priority: z
      .int()
      .min(1)
      .max(100)
      .nullish()
      .meta({ description: '1 is the highest; by default the priority of the execution.' }),
    on_failure: z.enum(['fail', 'continue', 'compensate']).nullish(),
    idempotent: z.boolean().nullish().meta({
      description:
        'Whether another execution of the action changes nothing outside. By default as GET /action-types shows for its type.',
    }),
    metadata: metadata.nullish().meta({ description: 'Free-form data, stored and returned but never interpreted.' }),
    for_each: forEachInput.nullish(),
    compensate: compensationInput.nullish().meta({
      description: 'Compensates the completed action when the execution fails or is cancelled.',
    }),
    repeat: repeatInput.nullish(),
    cache: cacheInput.nullish().meta({ description: 'Caches the output for later executions with the same key.' }),
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
  version: version.nullish().meta({ description: 'A label of your own; versions are numbered independently of it.' }),
  tags: z.array(z.string().min(1).max(255)).max(100).nullish(),
  parameters: z.array(parameterInput).max(MAX_PARAMETERS).nullish(),
  actions: z.array(actionInput).min(1).max(MAX_ACTIONS),
  output: z.unknown().optional().meta({
    description: 'A template for the output of the execution; by default the outputs of the last actions by their ids.',
  }),
  on_failure: z.enum(['fail', 'continue', 'compensate']).nullish().meta({
    description:
      '`compensate` works like `fail`, and requires an action with `compensate`. `continue` is rejected (422).',
  }),
  metadata: metadata.nullish().meta({ description: 'Free-form data, stored and returned but never interpreted.' }),
  timeout_seconds: timeout.nullish().meta({
    description:
      'Timeout of the whole execution, counted from its acceptance (after its delay); no timeout by default.',
  }),
  concurrency: concurrencyInput
    .nullish()
    .meta({ description: 'Limits how many executions with the same key run at a time.' }),
  dedupe: dedupeInput.nullish().meta({ description: 'Deduplication: one execution per key within the window.' }),
  triggers: z.array(triggerInput).max(MAX_TRIGGERS).nullish().meta({ description: 'Events that start the workflow.' }),
  retention_days: z.int().min(1).max(MAX_RETENTION_DAYS).nullish().meta({
    description:
      'Executions are deleted this many days after they end, whatever RETENTION_DAYS says; by default RETENTION_DAYS applies.',
  }),
};

/** The contract's complete form. */
export const workflowInput = z.strictObject(workflowFields).meta({
  id: 'WorkflowDefinition',
  description: 'A workflow: named actions and their dependencies.',
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
    status: z.enum(['active', 'paused', 'archived']).optional().meta({
      description: 'Only an active workflow accepts executions. A change of the status alone creates no new version.',
    }),
    canary_percent: z.int().min(0).max(100).optional().meta({
      description: 'The new version does not become the current one, but gets this share of the executions.',
    }),
  })
  .meta({
    id: 'WorkflowUpdate',
    description: 'Any subset of the fields of a workflow.',
    examples: [{ description: 'Updated description', tags: ['updated', 'v2'] }],
  });

export const flowTaskInput = z.strictObject({
  id,
  handler: z.string().min(1).max(255).meta({ description: 'The `action_type` of the action.' }),
  inputs: template.nullish().meta({ description: 'The `config` of the action.' }),
  retries: z
    .int()
    .min(0)
    .max(MAX_ATTEMPTS - 1)
    .nullish()
    .meta({ description: 'Number of retries after the first attempt; 3 by default.' }),
  timeout: timeout.nullish().meta({ description: 'Timeout of one attempt in seconds; 300 by default.' }),
  condition: z
    .string()
    .max(MAX_EXPRESSION)
    .nullish()
    .meta({ description: 'A CEL condition; the older `{{a.b}}` becomes `a.b`.' }),
  depends_on: z.array(z.string().max(255)).max(MAX_ACTIONS).nullish(),
  metadata: metadata.nullish(),
});
export type FlowTaskInput = z.output<typeof flowTaskInput>;

export const flowInput = z
  .strictObject({
    id: z.string().trim().min(1).max(255).meta({ description: 'Becomes the name of the workflow.' }),
    version: version.nullish(),
    type: z.enum(['DAG', 'STATE_MACHINE']).nullish().meta({ description: 'Both types are executed by `depends_on`.' }),
    tasks: z.array(flowTaskInput).min(1).max(MAX_ACTIONS),
    tenant_id: z.string().max(255).nullish(),
    metadata: metadata.nullish(),
  })
  .meta({
    id: 'FlowDefinition',
    description: 'The older flow format of a workflow.',
    examples: [
      { id: 'greeting', version: '1', type: 'DAG', tasks: [{ id: 'greet', handler: 'test_task', inputs: {} }] },
    ],
  });
export type FlowInput = z.output<typeof flowInput>;

/** The body of `POST /workflows`, for the document; `parseDefinition` gives better faults than the union itself. */
export const workflowCreateInput = z.union([workflowInput, flowInput]).meta({ example: exampleOf(workflowInput) });

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
