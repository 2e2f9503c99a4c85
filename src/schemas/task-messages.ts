/** What the WebSocket of a task sends. */
import { z } from 'zod';
import { count, json, RUN, text, time, WHEN } from './answer-shapes.ts';
import { taskResult } from './answers.ts';
import { LIVE_EVENTS } from './run-events.ts';

const state = z.object({
  task_id: text,
  status: taskResult.shape.status,
  progress: z.number().nullable().meta({ description: '0 to 100; null: not known' }),
  message: text.nullable().meta({ description: 'What the task reported last, or why it did not complete' }),
  timestamp: time,
  final: z.literal(true).optional().meta({ description: 'No more messages follow' }),
});

/** In between: what the task streams. */
const output = z.object({
  task_id: text,
  status: z.literal('running'),
  event: z.enum(LIVE_EVENTS).exclude(['task.progress']),
  action_id: text,
  attempt: count,
  n: count.optional().meta({ description: 'Number of the chunk' }),
  chunk: json.optional(),
  timestamp: time,
});

const unknown = z.object({
  task_id: text,
  error: text,
  code: z.literal('not_found'),
  timestamp: time,
  final: z.literal(true),
});

export const taskMessage = z.union([state, output, unknown]).meta({
  id: 'TaskMessage',
  example: { task_id: RUN, status: 'running', progress: 40, message: '2 of 5 pages', timestamp: WHEN },
});
