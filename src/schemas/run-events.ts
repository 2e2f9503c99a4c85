/** Requests and responses of the API about the events of an execution. */
import { z } from 'zod';
import { count, exampleOf, json, object, RUN, text, time, WHEN } from './answer-shapes.ts';

export const MAX_EVENTS_PER_PAGE = 1_000;

export const eventsQuery = z.object({
  last_event_id: z.string().min(1).max(64).optional().meta({
    description: 'Resumes after the event with this id; the Last-Event-ID header takes precedence',
    example: '3',
  }),
  limit: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(MAX_EVENTS_PER_PAGE)
    .default(100)
    .meta({ description: 'With JSON: maximum number of events' }),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'With JSON: next_cursor of the previous page' }),
});

/** What a running task says in between, none of it with an id. */
export const LIVE_EVENTS = [
  'task.progress',
  'task.output_chunk',
  'task.output_reset',
  'task.output_truncated',
] as const;

const runEventData = z
  .object({
    execution_id: text,
    epoch: z.int().min(1).meta({ description: 'Increases by one with every manual retry' }),
    action_id: text.nullable().meta({ description: 'null: the event concerns the whole execution' }),
    attempt: count.nullable(),
    at: time,
    details: object.nullable(),
  })
  .meta({ id: 'ExecutionEventData' });

const live = runEventData.extend({ action_id: text, attempt: count });
const noDetails = live.extend({ details: z.object({}) }).meta({ id: 'TaskOutputEventData' });

/** Of the stream, by the name of the event. */
export const streamedEvents = {
  '*': runEventData,
  'task.progress': live
    .extend({ details: z.object({ percent: z.number().nullable(), message: text.nullable() }) })
    .meta({ id: 'TaskProgressEventData' }),
  'task.output_chunk': live
    .extend({ details: z.object({ n: count, chunk: json }) })
    .meta({ id: 'TaskOutputChunkEventData' }),
  'task.output_reset': noDetails,
  'task.output_truncated': noDetails,
  'stream.closed': z.object({ code: z.literal('unauthorized'), message: text }).meta({ id: 'StreamClosedEventData' }),
} as const;

export const runEvent = z
  .object({
    id: count.meta({ description: 'Increases by one with every event of an execution' }),
    event: text.meta({ description: '`run.started`, `task.completed`, …' }),
    data: runEventData,
  })
  .meta({
    id: 'ExecutionEvent',
    example: {
      id: 1,
      event: 'task.completed',
      data: { execution_id: RUN, epoch: 1, action_id: 'analyze', attempt: 1, at: WHEN, details: null },
    },
  });

export const runEventList = z
  .object({
    items: z.array(runEvent),
    page: count,
    page_size: count,
    total: count.meta({ description: 'Number of events so far' }),
    next_cursor: text.nullable(),
    last_event_id: text
      .nullable()
      .meta({ description: 'The `last_event_id` for the next request; null: there were no events' }),
    final: z
      .boolean()
      .meta({ description: 'Whether the execution has ended: no more events follow unless it is retried' }),
  })
  .meta({
    id: 'ExecutionEventList',
    example: {
      items: [exampleOf(runEvent)],
      page: 1,
      page_size: 100,
      total: 1,
      next_cursor: null,
      last_event_id: '1',
      final: false,
    },
  });

export const eventStream = text.meta({
  description:
    'Server-Sent Events; `data` is JSON as in ExecutionEvent, and lines that start with a colon are comments',
  example: `retry: 2000\n\nid: 1\nevent: task.completed\ndata: {"execution_id":"${RUN}","epoch":1,"action_id":"analyze","attempt":1,"at":"${WHEN}","details":null}\n\n`,
});

export type RunEventView = z.infer<typeof runEvent>;
