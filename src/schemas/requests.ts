/**
 * Requests of the API, apart from workflow definitions (`definition.ts`). Bodies are strict; query strings let
 * unknown names pass, so that a cache buster or a proxy's own parameter hurts nobody.
 */
import { z } from 'zod';
import type { JsonObject } from './json.ts';

export const MAX_BULK_ITEMS = 1_000;
export const MAX_WAIT_SECONDS = 30;
const MAX_ATTEMPTS = 100;
const MAX_TIMEOUT_SECONDS = 86_400;
const MAX_DELAY_SECONDS = 31_536_000;

/** Any JSON object; depth and keys were checked when the body was read, so it is JSON by then. */
export const jsonObject = z.record(z.string(), z.unknown()) as unknown as z.ZodType<JsonObject>;
/** A body that says nothing: `{}`, or none at all. */
export const emptyBody = z.strictObject({}).meta({ example: {} });

const text = (max: number) => z.string().min(1).max(max);
const id = text(255);
export const webUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .max(2048)
  .meta({ example: 'https://example.com/hooks/orchestrator' });
const priority = z
  .int()
  .min(1)
  .max(100)
  .meta({ description: '1 (highest) to 100 (lowest); 50 by default', example: 50 });
const delaySeconds = z
  .number()
  .min(0)
  .max(MAX_DELAY_SECONDS)
  .meta({ description: 'Minimum delay in seconds before the start', example: 0 });

export const taskRequest = z
  .strictObject({
    task_type: id.meta({
      description: 'An action type (see GET /action-types), or else the id or name of a workflow',
      example: 'test_task',
    }),
    params: jsonObject.default({}).meta({
      description: 'The configuration of the action, or the parameters of the workflow',
      example: { duration: 0 },
    }),
    priority: priority.optional(),
    delay_seconds: delaySeconds.optional(),
    max_attempts: z
      .int()
      .min(1)
      .max(MAX_ATTEMPTS)
      .optional()
      .meta({ description: 'Maximum number of attempts, the first one included', example: 4 }),
    timeout_seconds: z
      .number()
      .positive()
      .max(MAX_TIMEOUT_SECONDS)
      .optional()
      .meta({ description: 'Timeout of one attempt', example: 300 }),
    callback_url: webUrl.optional(),
    correlation_id: id.optional(),
  })
  .meta({
    id: 'TaskRequest',
    example: { task_type: 'approve_batches', params: { batch_ids: [1, 2, 3], auto_approve: true } },
  });

/** The items are checked one by one, so that a bad one does not sink the rest. */
export const taskListRequest = z.strictObject({ tasks: z.array(z.unknown()).min(1).max(MAX_BULK_ITEMS) });
export const taskListDocument = z
  .strictObject({ tasks: z.array(taskRequest).min(1).max(MAX_BULK_ITEMS) })
  .meta({ id: 'TaskListRequest', example: { tasks: [{ task_type: 'test_task', params: {} }] } });

export const executeRequest = z
  .strictObject({
    parameters: jsonObject.default({}).meta({ example: { message: 'Hello' } }),
    version: z.int().min(1).max(2_147_483_647).optional().meta({
      description: 'By default the current version, or the canary according to its share',
    }),
    priority: priority.optional(),
    delay_seconds: delaySeconds.optional(),
    correlation_id: id.optional(),
    idempotency_key: id.optional().meta({ description: 'Same as the Idempotency-Key header' }),
    callback_url: webUrl.optional(),
    dry_run: z.boolean().optional().meta({ description: 'Returns the plan without starting an execution' }),
  })
  .meta({ id: 'ExecuteRequest', example: { parameters: { message: 'Hello, World!' } } });

export const executeItem = z
  .strictObject({
    parameters: jsonObject.default({}),
    idempotency_key: id.optional(),
    priority: priority.optional(),
    correlation_id: id.optional(),
  })
  .meta({ id: 'ExecuteItem' });

export const executeListRequest = z.strictObject({ items: z.array(z.unknown()).min(1).max(MAX_BULK_ITEMS) });
export const executeListDocument = z.strictObject({ items: z.array(executeItem).min(1).max(MAX_BULK_ITEMS) }).meta({
  id: 'ExecuteListRequest',
  example: { items: [{ parameters: { message: 'one' } }, { parameters: { message: 'two' } }] },
});

export const cancelRequest = z
  .strictObject({ reason: text(1000).optional() })
  .meta({ id: 'CancelRequest', example: { reason: 'no longer needed' } });

export const WORKFLOW_STATUSES = ['active', 'paused', 'archived'] as const;
export const workflowStatus = z.enum(WORKFLOW_STATUSES);

const RUN_STATUSES = [
  'pending',
  'queued',
  'running',
  'waiting',
  'paused',
  'cancelling',
  'cancelled',
  'completed',
  'failed',
  'compensating',
  'compensated',
  'compensation_failed',
  'timed_out',
] as const;
export const runStatus = z.enum(RUN_STATUSES).meta({ id: 'RunStatus' });

const TASK_STATUSES = [
  'pending',
  'waiting',
  'running',
  'retrying',
  'completed',
  'failed',
  'skipped',
  'cancelled',
  'upstream_failed',
] as const;
export const taskStatus = z.enum(TASK_STATUSES).meta({ id: 'TaskStatus' });

const flag = z.enum(['true', 'false', '1', '0']).transform((value) => value === 'true' || value === '1');
/** `z.coerce` reads '' as 0; here an empty value is no number. */
const integer = (min: number, max: number) => z.coerce.number<string>().int().min(min).max(max);
export const page = integer(1, 1_000_000).default(1).meta({ example: 1 });
export const limit = integer(1, 200);
const pageSize = integer(1, 200).default(50).meta({ example: 50 });
export const moment = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()])
  .meta({ description: 'ISO 8601 date or date-time', example: '2030-01-01T00:00:00Z' });

/** `a,b` or `tags=a&tags=b`. */
const tagList = z
  .union([z.string(), z.array(z.string())])
  .transform((given) =>
    [given]
      .flat()
      .flatMap((text) => text.split(','))
      .map((tag) => tag.trim())
      .filter((tag) => tag !== ''),
  )
  .pipe(z.array(id).max(100));

export const resultQuery = z.object({
  wait: z.coerce.number<string>().min(0).max(MAX_WAIT_SECONDS).default(0).meta({
    description: 'Long polling: seconds to wait for the end of the task; the response is sent as soon as it ends',
    example: 10,
  }),
});

export const workflowListQuery = z.object({
  page,
  page_size: pageSize,
  status: workflowStatus.optional(),
  created_by: id.optional(),
  tag: id.optional(),
  name: id.optional().meta({ description: 'Part of the name, case-insensitive' }),
  name_contains: id.optional().meta({ description: 'Older name of `name`' }),
  tags: tagList.optional().meta({ description: 'Has all of these tags; separated by commas, or repeated' }),
});

export const versionListQuery = z.object({ page, page_size: pageSize });
export const workflowQuery = z.object({ version: integer(1, 2_147_483_647).optional() });
export const canaryPercent = z.int().min(0).max(100).meta({
  description: 'The share of executions without an explicit version that use the canary',
  example: 10,
});
export const canaryRequest = z
  .strictObject({ version: z.int().min(1).max(2_147_483_647), percent: canaryPercent })
  .meta({ id: 'CanaryRequest', example: { version: 2, percent: 10 } });

export const executeQuery = z.object({
  dry_run: flag.optional(),
  strict: flag.optional().meta({ description: 'Rejects parameters that the workflow does not declare' }),
});
export const deleteQuery = z.object({ force: flag.optional().meta({ description: 'Cancels the live executions' }) });

const executionFilter = {
  status: runStatus.optional(),
  from: moment.optional().meta({ description: 'Created at or after' }),
  to: moment.optional().meta({ description: 'Created before' }),
  correlation_id: id.optional(),
  parent: id.optional().meta({ description: 'Started by actions of this execution' }),
  limit: integer(1, 200).optional().meta({ description: 'Maximum number of items; 50 by default', example: 50 }),
  page_size: integer(1, 200).optional().meta({ description: 'Older name of `limit`' }),
  page: integer(1, 200).optional().meta({ description: 'Page number, for short lists; use next_cursor for long ones' }),
  cursor: text(1024).optional().meta({ description: 'next_cursor of the previous page' }),
};
export const partsQuery = z.object({
  of: id.meta({ description: 'The action_id of the fan-out or loop', example: 'fetch_all' }),
  status: taskStatus.optional(),
  limit: integer(1, 200).optional().meta({ description: 'Maximum number of items; 50 by default', example: 50 }),
  cursor: text(1024).optional().meta({ description: 'next_cursor of the previous page' }),
});
export const workflowExecutionsQuery = z.object(executionFilter);
export const executionsQuery = z.object({ ...executionFilter, workflow_id: id.optional() });

export type ExecutionsQuery = z.output<typeof executionsQuery>;
