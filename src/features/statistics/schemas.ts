/** What `GET /workflows/statistics` takes and answers. */
import { z } from 'zod';
import { count, FLOW, text, time, WHEN } from '../../schemas/answer-shapes.ts';

const MAX_WINDOW_SECONDS = 90 * 86_400;
const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** `24h` as seconds. */
const window = z
  .string()
  .regex(/^[1-9]\d{0,6}[smhd]$/, 'must be a number and s, m, h or d, as in 24h')
  // The expression has seen that its last letter is a unit.
  .transform((written) => Number(written.slice(0, -1)) * UNITS[written.slice(-1) as keyof typeof UNITS])
  .refine((seconds) => seconds <= MAX_WINDOW_SECONDS, { error: 'must be at most 90d' });

export const statisticsQuery = z.object({
  window: window.optional().meta({ description: 'The time window, at most 90d; 24h by default', example: '24h' }),
});

const rate = z.number().min(0).max(1).nullable();
const milliseconds = z.number().nullable();
const durationsExample = { count: 2, average: 50, p50: 40, p90: 60, p95: 60, p99: 60, max: 60 };
const durations = z
  .object({
    count,
    average: milliseconds,
    p50: milliseconds,
    p90: milliseconds,
    p95: milliseconds,
    p99: milliseconds,
    max: milliseconds,
  })
  .meta({ id: 'Durations', description: 'In milliseconds; null when there is nothing to measure' });

const workflowUse = z
  .object({
    workflow_id: text,
    name: text,
    executions: count,
    successful_executions: count,
    failed_executions: count,
    success_rate: rate,
    duration_ms: durations,
  })
  .meta({ id: 'WorkflowUse' });

const actionTypeUse = z
  .object({
    action_type: text,
    tasks: count,
    completed: count,
    failed: count,
    retried: count,
    success_rate: rate,
    retry_rate: rate,
    duration_ms: durations,
  })
  .meta({ id: 'ActionTypeUse' });

const active = z.object({ workflow_id: text, name: text, executions: count });

export const workflowStatistics = z
  .object({
    window: z.object({ seconds: count, from: time, to: time }),
    total_workflows: count,
    active_workflows: count,
    total_executions: count.meta({
      description: 'Executions of workflows accepted within the window; at most the newest 100,000',
    }),
    successful_executions: count,
    failed_executions: count.meta({
      description: 'Executions with the status failed, timed_out, compensated or compensation_failed',
    }),
    average_execution_time: z.number().nullable().meta({ description: 'In seconds, of executions that have ended' }),
    success_rate: rate.meta({ description: 'Share of completed executions among those that completed or failed' }),
    retry_rate: rate.meta({ description: 'Share of ended tasks that took more than one attempt' }),
    executions_by_status: z.record(z.string(), count),
    execution_duration_ms: durations,
    task_duration_ms: durations.meta({ description: 'Of the tasks of at most the newest 20,000 executions' }),
    by_workflow: z.array(workflowUse).meta({ description: 'The 50 workflows with the most executions' }),
    by_action_type: z.array(actionTypeUse),
    popular_tags: z.array(z.object({ tag: text, count })),
    truncated: z.boolean().meta({ description: 'Whether the window contains more executions than were counted' }),
    summary: z
      .object({ workflows: count, executions: count, success_rate: rate, most_active_workflows: z.array(active) })
      .meta({ description: 'The same numbers in the older format' }),
    generated_at: time,
  })
  .meta({
    id: 'WorkflowStatistics',
    example: {
      window: { seconds: 86_400, from: WHEN, to: WHEN },
      ...{
        total_workflows: 1,
        active_workflows: 1,
        total_executions: 2,
        successful_executions: 2,
        failed_executions: 0,
      },
      ...{ average_execution_time: 0.05, success_rate: 1, retry_rate: 0, executions_by_status: { completed: 2 } },
      ...{ execution_duration_ms: durationsExample, task_duration_ms: durationsExample },
      by_workflow: [],
      by_action_type: [],
      popular_tags: [{ tag: 'orders', count: 1 }],
      truncated: false,
      summary: {
        workflows: 1,
        executions: 2,
        success_rate: 1,
        most_active_workflows: [{ workflow_id: FLOW, name: 'Hello World', executions: 2 }],
      },
      generated_at: WHEN,
    },
  });

export type Durations = z.infer<typeof durations>;
export type WorkflowStatistics = z.infer<typeof workflowStatistics>;
