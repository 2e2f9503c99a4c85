/** Requests and responses of the API about the log of an execution. */
import { z } from 'zod';
import { count, exampleOf, object, RUN, text, time, WHEN } from './answer-shapes.ts';
import { taskId } from './task-id.ts';

/** The least serious first. */
export const logLevel = z.enum(['debug', 'info', 'warn', 'error']);

export const runLogsQuery = z.object({
  action_id: taskId.optional(),
  level: logLevel.default('debug').meta({ description: 'Minimum level of the lines' }),
  attempt: z.coerce.number<string>().int().min(1).max(1_000_000).optional(),
  include: z.enum(['events']).optional().meta({ description: 'Includes the events of the execution' }),
  limit: z.coerce.number<string>().int().min(1).max(1_000).default(200),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the previous page' }),
});

export const runLogLine = z
  .object({
    timestamp: time,
    level: logLevel.nullable().meta({ description: 'null: an event' }),
    message: text.meta({ description: 'For an event its name' }),
    action_id: text.nullable().meta({ description: 'null: an event of the whole execution' }),
    attempt: count.nullable(),
    epoch: z.int().min(1).meta({ description: 'Increases by one with every manual retry' }),
    fields: object.nullable(),
  })
  .meta({
    id: 'ExecutionLogLine',
    example: {
      timestamp: WHEN,
      level: 'info',
      message: 'order taken',
      action_id: 'analyze',
      attempt: 1,
      epoch: 1,
      fields: { items: 3 },
    },
  });

export const runLogList = z
  .object({
    execution_id: text.meta({ example: RUN }),
    items: z.array(runLogLine),
    next_cursor: text.nullable(),
    dropped: count.meta({ description: 'Number of lines that were discarded because there were too many' }),
  })
  .meta({
    id: 'ExecutionLog',
    example: { execution_id: RUN, items: [exampleOf(runLogLine)], next_cursor: null, dropped: 0 },
  });

export const runLogText = text.meta({
  description: 'One JSON object per line; the X-Next-Cursor header has the cursor of the next page, if there is one',
  example: `${JSON.stringify(exampleOf(runLogLine))}\n`,
});
