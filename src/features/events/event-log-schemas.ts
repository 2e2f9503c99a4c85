/** Requests and responses of the API about the log of events. */
import { z } from 'zod';
import { count, exampleOf, object, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { moment } from '../../schemas/requests.ts';
import { replayTarget as target } from './replay.ts';

export const MAX_EVENTS = 10_000;
const MAX_KINDS = 100;
const replayTarget = target.meta({ id: 'ReplayTarget', example: { webhook_url: 'https://example.com/hooks' } });
const limit = z.int().min(1).max(MAX_EVENTS);

export const eventHistoryQuery = z.object({
  correlation_id: id.optional(),
  event_type: id
    .optional()
    .meta({ description: 'Event type, as `event` in the events of an execution', example: 'run.completed' }),
  execution_id: id.optional(),
  from: moment.optional().meta({ description: 'Happened at or after' }),
  to: moment.optional().meta({ description: 'Happened before' }),
  limit: z.coerce.number<string>().int().min(1).max(MAX_EVENTS).default(100),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the previous page' }),
});

export const loggedEvent = z
  .object({
    event_id: text.meta({ description: 'The same for every receiver of the event; increases with time' }),
    event_type: text,
    correlation_id: text.nullable(),
    timestamp: time,
    trace_id: text.nullable(),
    execution_id: text.nullable().meta({ description: 'null: the event does not concern a single execution' }),
    data: object,
  })
  .meta({
    id: 'LoggedEvent',
    example: {
      event_id: '4711',
      event_type: 'task.completed',
      correlation_id: 'order-17',
      timestamp: WHEN,
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      execution_id: RUN,
      data: { execution_id: RUN, workflow_id: null, action_id: 'analyze', epoch: 1, attempt: 1, details: null },
    },
  });
export type LoggedEventView = z.infer<typeof loggedEvent>;

export const eventHistory = z
  .object({
    events: z.array(loggedEvent),
    count: count.meta({ description: 'Number of events on this page' }),
    total: count.meta({ description: 'Number of all matching events; counted up to 100000' }),
    next_cursor: text.nullable(),
  })
  .meta({ id: 'EventHistory', example: { events: [exampleOf(loggedEvent)], count: 1, total: 1, next_cursor: null } });

const kinds = z
  .array(id)
  .max(MAX_KINDS)
  .nullish()
  .meta({ example: ['run.completed'] });

// The older platform's clients send null for what they leave out.
export const replayRequest = z
  .strictObject({
    event_types: kinds,
    correlation_id: id.nullish(),
    execution_id: id.nullish(),
    start_time: moment.nullish().meta({ description: 'Happened at or after' }),
    end_time: moment.nullish().meta({ description: 'Happened before' }),
    limit: limit.nullish().meta({ description: 'Maximum number of events, the oldest first; 1000 by default' }),
    target: replayTarget.nullish().meta({
      description:
        'Where to replay the events; by default the stream when EVENTS_STREAM is set, else the webhooks of the tenant',
    }),
  })
  .meta({ id: 'EventReplayRequest', example: { correlation_id: 'order-17' } });

export const replayed = z
  .object({
    replayed_events: z.array(text).meta({ description: 'Ids of the replayed events, oldest first' }),
    count,
    target: replayTarget,
    execution_id: text
      .nullable()
      .meta({ description: 'The execution that replays them; null: there was nothing to replay' }),
  })
  .meta({
    id: 'EventReplay',
    example: { replayed_events: ['4711'], count: 1, target: { webhooks: true }, execution_id: RUN },
  });

export const clearRequest = z
  .strictObject({ event_types: kinds, event_type: id.nullish(), correlation_id: id.nullish() })
  .meta({ id: 'EventClearRequest', example: { correlation_id: 'order-17' } });

export const cleared = z
  .object({ status: z.literal('cleared'), cleared_count: count })
  .meta({ id: 'EventsCleared', example: { status: 'cleared', cleared_count: 12 } });
