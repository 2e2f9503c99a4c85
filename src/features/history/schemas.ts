/** What `GET /workflows/history` and `GET /workflows/activity` take and answer. */
import { z } from 'zod';
import { count, json, text, time } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { limit, moment, runStatus, taskStatus } from '../../schemas/requests.ts';

const cursor = z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the previous page' });

export const historyQuery = z.object({
  limit: limit.default(20).meta({ example: 20 }),
  cursor,
  status: runStatus.optional(),
  workflow_id: id.optional(),
  correlation_id: id.optional(),
  tag: id.optional().meta({ description: 'Tag of the workflow in its current state' }),
  created_by: id.optional().meta({ description: 'The user who started the execution' }),
  from: moment.optional().meta({ description: 'Created at or after' }),
  to: moment.optional().meta({ description: 'Created before' }),
});

const step = z
  .object({
    action_id: text,
    op: text.meta({ description: '`metadata.op` of the action, or else its type' }),
    source: text.optional().meta({ description: '`metadata.source` of the action' }),
    status: taskStatus,
    start_time: time.nullable(),
    end_time: time.nullable(),
  })
  .meta({ id: 'HistoryStep' });

const historyItem = z
  .object({
    correlation_id: text.nullable(),
    execution_id: text,
    workflow_id: text.nullable(),
    workflow_version: z.int().nullable(),
    status: runStatus,
    start_time: time.meta({ description: 'Start time, or the time of acceptance before the start' }),
    end_time: time.nullable(),
    steps: z.array(step).meta({ description: 'The first 100 steps' }),
    steps_total: count,
  })
  .meta({ id: 'HistoryItem' });

export const history = z
  .object({ items: z.array(historyItem), total: count, next_cursor: text.nullable() })
  .meta({ id: 'WorkflowHistory' });

export const activityQuery = z.object({
  limit: limit.default(50).meta({ example: 50 }),
  cursor,
  user_id: id.optional(),
});

const activityEntry = z
  .object({
    id: text,
    type: text.meta({
      description:
        'workflow.created, workflow.updated, workflow.deleted, workflow.paused, workflow.resumed, workflow.archived, ' +
        'lane.paused, lane.resumed, execution.started',
    }),
    timestamp: time,
    user_id: text,
    details: json.meta({ description: 'For an execution its workflow and current status' }),
  })
  .meta({ id: 'ActivityEntry' });

export const activity = z
  .object({ activities: z.array(activityEntry), next_cursor: text.nullable() })
  .meta({ id: 'WorkflowActivity' });

export type HistoryStep = z.infer<typeof step>;
export type HistoryItem = z.infer<typeof historyItem>;
export type ActivityEntry = z.infer<typeof activityEntry>;
