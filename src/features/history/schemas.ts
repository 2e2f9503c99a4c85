/** What `GET /workflows/history` and `GET /workflows/activity` take and answer. */
import { z } from 'zod';
import { count, exampleOf, FLOW, json, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';
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
  .meta({
    id: 'HistoryItem',
    example: {
      ...{ correlation_id: null, execution_id: RUN, workflow_id: FLOW, workflow_version: 1, status: 'completed' },
      ...{ start_time: WHEN, end_time: WHEN, steps_total: 1 },
      steps: [{ action_id: 'greet', op: 'notification', status: 'completed', start_time: WHEN, end_time: WHEN }],
    },
  });

export const history = z
  .object({ items: z.array(historyItem), total: count, next_cursor: text.nullable() })
  .meta({ id: 'WorkflowHistory', example: { items: [exampleOf(historyItem)], total: 1, next_cursor: null } });

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
  .meta({
    id: 'ActivityEntry',
    example: {
      id: `run-${RUN}`,
      type: 'execution',
      timestamp: WHEN,
      user_id: 'anonymous',
      details: { execution_id: RUN },
    },
  });

export const activity = z
  .object({ activities: z.array(activityEntry), next_cursor: text.nullable() })
  .meta({ id: 'WorkflowActivity', example: { activities: [exampleOf(activityEntry)], next_cursor: null } });

export type HistoryStep = z.infer<typeof step>;
export type HistoryItem = z.infer<typeof historyItem>;
export type ActivityEntry = z.infer<typeof activityEntry>;
