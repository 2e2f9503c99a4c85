/** What the HTTP door takes and answers about the events of an execution. */
import { z } from 'zod';
import { count, object, RUN, text, time, WHEN } from './answer-shapes.ts';

export const MAX_EVENTS_PER_PAGE = 1_000;

export const eventsQuery = z.object({
  last_event_id: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .meta({ description: 'Goes on after the event with this id; the header Last-Event-ID wins', example: '3' }),
  limit: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(MAX_EVENTS_PER_PAGE)
    .default(100)
    .meta({ description: 'With JSON: at most that many' }),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'With JSON: next_cursor of the page before' }),
});

export const runEvent = z
  .object({
    id: count.meta({ description: 'Rises by one with every event of an execution' }),
    event: text.meta({ description: '`run.started`, `task.completed`, …' }),
    data: z.object({
      execution_id: text,
      epoch: z.int().min(1).meta({ description: 'One more for each retry by hand' }),
      action_id: text.nullable().meta({ description: 'null: the event is one of the whole execution' }),
      attempt: count.nullable(),
      at: time,
      details: object.nullable(),
    }),
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
    total: count.meta({ description: 'All events there are by now' }),
    next_cursor: text.nullable(),
    last_event_id: text
      .nullable()
      .meta({ description: 'Ask with it for what comes after this page; null: there was nothing yet' }),
    final: z.boolean().meta({ description: 'The execution has ended: nothing more comes unless it is retried' }),
  })
  .meta({ id: 'ExecutionEventList' });

export const eventStream = text.meta({
  description: 'Server-Sent Events; `data` is JSON as in ExecutionEvent, and lines that begin with a colon say nothing',
  example: `retry: 2000\n\nid: 1\nevent: task.completed\ndata: {"execution_id":"${RUN}","epoch":1,"action_id":"analyze","attempt":1,"at":"${WHEN}","details":null}\n\n`,
});

export type RunEventView = z.infer<typeof runEvent>;
