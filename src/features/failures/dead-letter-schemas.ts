/** Requests and responses of the API about tasks that failed for good. */
import { z } from 'zod';
import { count, exampleOf, FLOW, json, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { moment, runStatus } from '../../schemas/requests.ts';
import { MAX_TASK_ID_LENGTH } from '../../schemas/task-id.ts';

const MAX_EVENT_IDS = 1_000;
/** An execution, a slash, a task. */
export const MAX_EVENT_ID_LENGTH = 255 + 1 + MAX_TASK_ID_LENGTH;
/** An id may have three bytes for each character. */
const MAX_CURSOR_LENGTH = 2_048;

export const messageNumber = z.string().regex(/^[1-9]\d{0,17}$/);

const filter = {
  action_type: id.optional(),
  workflow_id: id.optional(),
  error_code: id.optional().meta({ description: 'The error code', example: 'upstream_rejected' }),
  from: moment.optional().meta({ description: 'Failed at or after' }),
  to: moment.optional().meta({ description: 'Failed before' }),
};

export const deadLetterQuery = z.object({
  ...filter,
  limit: z.coerce.number<string>().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(MAX_CURSOR_LENGTH).optional().meta({ description: 'next_cursor of the previous page' }),
});

const selection = {
  event_ids: z
    .array(
      z
        .string()
        .min(3)
        .max(MAX_EVENT_ID_LENGTH)
        .regex(/^(?:.+\/[^/]+|message:[1-9]\d{0,17})$/s, 'must be <execution_id>/<action_id> or message:<number>'),
    )
    .min(1)
    .max(MAX_EVENT_IDS)
    .optional()
    .meta({ description: '`<execution_id>/<action_id>`, or of a message `message:<number>`, as returned by the list' }),
  ...filter,
  dry_run: z.boolean().default(false).meta({ description: 'Only counts, without changing anything' }),
};

export const deadLetterRetryRequest = z
  .strictObject({
    ...selection,
    max_retries: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .meta({ description: 'Skips executions that were already retried this many times' }),
  })
  .meta({ id: 'DeadLetterRetryRequest', example: { event_ids: [`${RUN}/analyze`] } });

export const deadLetterDiscardRequest = z
  .strictObject(selection)
  .refine(({ dry_run: _, ...chosen }) => Object.values(chosen).some((value) => value !== undefined), {
    error: 'name event_ids or a filter: without any it would discard everything',
  })
  .meta({ id: 'DeadLetterDiscardRequest', example: { error_code: 'upstream_rejected' } });

export const deadLetter = z
  .object({
    event_id: text,
    execution_id: text.nullable(),
    action_id: text.nullable(),
    action_type: text.nullable(),
    workflow_id: text.nullable(),
    workflow_version: z.int().nullable(),
    error: json,
    attempts: count,
    retries: count.meta({ description: 'How many times the execution was retried manually' }),
    retryable: z.boolean().meta({ description: 'Whether the execution has ended and can be retried' }),
    execution_status: runStatus.nullable(),
    correlation_id: text.nullable(),
    trace_id: text.nullable(),
    failed_at: time,
    message: z
      .object({
        topic: text,
        partition: z.int(),
        offset: text,
        key: text.nullable(),
        headers: z.record(z.string(), z.string()),
        original_base64: text,
      })
      .nullable()
      .meta({ description: 'Of a message that could not be taken in, which has no execution; null: a task' }),
  })
  .meta({
    id: 'DeadLetter',
    example: {
      event_id: `${RUN}/analyze`,
      execution_id: RUN,
      action_id: 'analyze',
      action_type: 'service_call',
      workflow_id: FLOW,
      workflow_version: 1,
      error: { code: 'upstream_rejected', message: 'answered 400', action_id: 'analyze', attempt: 1 },
      attempts: 1,
      retries: 0,
      retryable: true,
      execution_status: 'failed',
      correlation_id: null,
      trace_id: null,
      failed_at: WHEN,
      message: null,
    },
  });

export const deadLetterList = z
  .object({ items: z.array(deadLetter), page: count, page_size: count, total: count, next_cursor: text.nullable() })
  .meta({
    id: 'DeadLetterList',
    example: { items: [exampleOf(deadLetter)], page: 1, page_size: 50, total: 1, next_cursor: null },
  });

export const deadLetterStats = z
  .object({
    total_events: count.meta({ description: 'Sum of failed_events and retried_events' }),
    failed_events: count.meta({ description: 'Permanently failed tasks that were neither retried nor discarded' }),
    retryable_events: count.meta({ description: 'Permanently failed tasks whose execution has ended' }),
    retried_events: count.meta({ description: 'Failed tasks that were retried manually' }),
    oldest_event: time.nullable(),
    newest_event: time.nullable(),
  })
  .meta({
    id: 'DeadLetterStats',
    example: {
      total_events: 4,
      failed_events: 3,
      retryable_events: 3,
      retried_events: 1,
      oldest_event: WHEN,
      newest_event: WHEN,
    },
  });

export const retriedDeadLetters = z
  .object({
    retried_events: count.meta({ description: 'Tasks of up to 1,000 executions; repeat the request for the rest' }),
    total_events: count.meta({ description: 'All tasks that match the request' }),
    dry_run: z.boolean(),
  })
  .meta({ id: 'RetriedDeadLetters', example: { retried_events: 3, total_events: 3, dry_run: false } });

export const discardedDeadLetters = z
  .object({ discarded_events: count, total_events: count, dry_run: z.boolean() })
  .meta({ id: 'DiscardedDeadLetters', example: { discarded_events: 3, total_events: 3, dry_run: false } });

export type DeadLetter = z.infer<typeof deadLetter>;
export type DeadLetterStats = z.infer<typeof deadLetterStats>;
