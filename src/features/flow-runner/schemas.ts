/** What the older flow runner took and answered, over HTTP and as messages. */
import { z } from 'zod';
import { RUN, WHEN } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { jsonObject } from '../../schemas/requests.ts';

const MAX_CONTEXT_BYTES = 64 * 1024;
const PRIORITIES = { urgent: 1, critical: 1, high: 25, normal: 50, medium: 50, low: 75 } as const;

const flowId = id.meta({ description: 'The id or the name of a workflow; of a flow_definition, its own name.' });
const flowDefinition = jsonObject.meta({
  description: 'What POST /workflows takes. {} stands for none: then flow_id names a workflow.',
});
const executionContext = jsonObject
  .refine(isSmall, { error: `must not be larger than ${MAX_CONTEXT_BYTES} bytes` })
  .meta({ description: 'Passed on with the run: {{run.execution_context}} in templates. At most 64 KiB.' });

function isSmall(context: JsonObject): boolean {
  return Buffer.byteLength(JSON.stringify(context)) <= MAX_CONTEXT_BYTES;
}

const priority = z
  .union([z.int().min(0).max(100), z.enum(['urgent', 'critical', 'high', 'normal', 'medium', 'low'])])
  .transform((word) => (typeof word === 'number' ? word : PRIORITIES[word]));

/** A message of the topic of flow runs. Fields that are not here are for others, and are passed over. */
export const flowRunMessage = z.object({
  event_type: z.literal('flow_run_requested').nullish(),
  run_id: id,
  correlation_id: id.nullish(),
  flow_id: id,
  tenant_id: id,
  user_id: id.nullish(),
  input: jsonObject.nullish(),
  flow_definition: jsonObject.nullish(),
  execution_context: executionContext.nullish(),
  priority: priority.nullish(),
});
export type FlowRunMessage = z.output<typeof flowRunMessage>;

export const runRequest = z
  .strictObject({
    flow_id: flowId,
    flow_definition: flowDefinition.nullish(),
    input: jsonObject.nullish().meta({ description: 'The parameters of the run.' }),
    tenant_id: id.nullish().meta({ description: 'Has to be the tenant of the caller.' }),
    request_id: id.nullish().meta({
      description: 'An idempotency key: a repeated request with the same body returns the first run.',
    }),
    execution_context: executionContext.nullish(),
  })
  .meta({ id: 'FlowRunRequest', examples: [{ flow_id: 'order', input: { sku: 'A-1' }, tenant_id: 'default' }] });

export const webhookRequest = z
  .strictObject({
    webhook_id: id.nullish().meta({ description: 'As in the path.' }),
    payload: jsonObject.nullish().meta({ description: 'The parameters of the run.' }),
    headers: z.record(z.string(), z.string()).nullish(),
    source: z.string().max(255).nullish(),
  })
  .meta({
    id: 'FlowWebhookRequest',
    description: '`headers` and `source` become the execution context of the run.',
    examples: [{ payload: { sku: 'A-1' }, source: 'shop' }],
  });

export const acceptedRun = z
  .object({ run_id: z.string(), correlation_id: z.string() })
  .meta({ id: 'AcceptedFlowRun', example: { run_id: RUN, correlation_id: 'order-4711' } });

export const flowRun = z
  .object({
    run_id: z.string(),
    status: z.enum(['PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED']),
    flow_id: z.string(),
    tenant_id: z.string(),
    input: jsonObject,
    output: z.unknown(),
    error: z.string().nullable(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({
    id: 'FlowRun',
    example: {
      ...{ run_id: RUN, status: 'COMPLETED', flow_id: 'hello', tenant_id: 'default', input: { name: 'ann' } },
      ...{ output: { greet: 'hello ann' }, error: null, created_at: WHEN, updated_at: WHEN },
    },
    description: 'A run as the older flow runner showed it.',
  });
