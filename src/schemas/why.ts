/** Responses of the API that explain why something does not go on. */
import { z } from 'zod';
import { count, RUN, text, time, WHEN } from './answer-shapes.ts';
import { laneHealth } from './engine-health.ts';
import { lateEffects } from './late-effects.ts';
import { runStatus, taskStatus } from './requests.ts';

const cause = z
  .looseObject({
    code: text.meta({
      description: 'Code of the cause; docs/diagnosis.md has a section for each',
      example: 'retrying',
    }),
    message: text,
  })
  .meta({ id: 'Cause', description: 'The cause, with its data' });

const details = {
  since: time.nullable(),
  expected_at: time
    .nullable()
    .meta({ description: 'When it continues without intervention, if that can be predicted' }),
  what_must_happen: text,
};

export const whyOfRun = z
  .object({
    execution_id: text,
    status: runStatus,
    finished: z.boolean(),
    summary: text.meta({ description: 'A summary of one or two sentences' }),
    root: z.object({ cause, ...details }).meta({ id: 'RootCause', description: 'The cause to examine first' }),
    tasks: z
      .array(
        z
          .object({
            action_id: text,
            action_type: text,
            status: taskStatus,
            cause,
            ...details,
            also: z.array(cause).meta({ description: 'Other problems of the task' }),
          })
          .meta({ id: 'TaskCause' }),
      )
      .meta({
        description:
          'Tasks that have not ended; those that could continue come first, and among them the most severe causes',
      }),
    more_tasks: count.meta({ description: 'Number of tasks that have not ended and are not listed' }),
    late_effects: lateEffects.optional().meta({ description: 'Actions that were abandoned and succeeded afterwards' }),
    observed_at: time,
  })
  .meta({
    id: 'WhyOfExecution',
    example: {
      execution_id: RUN,
      status: 'running',
      finished: false,
      summary: "The execution is running (for 42 s). Action 'pay': Attempt 2 of 5 failed (upstream_error: 503).",
      root: {
        cause: {
          code: 'retrying',
          message: 'Attempt 2 of 5 failed (upstream_error: 503).',
          attempt: 2,
          max_attempts: 5,
        },
        since: WHEN,
        expected_at: WHEN,
        what_must_happen: 'Mend what the error names; it is tried again by itself.',
      },
      tasks: [],
      more_tasks: 0,
      observed_at: WHEN,
    },
  });

export const problem = z
  .object({ code: text, message: text, since: time.optional(), what_to_do: text })
  .meta({ id: 'SystemProblem' });

export const whyOfLane = z
  .object({
    lane: text,
    status: z
      .enum(['moving', 'idle', 'held'])
      .meta({ description: '`held`: the waiting jobs are not being processed' }),
    summary: text,
    paused: z.boolean(),
    counts: laneHealth.nullable().meta({ description: 'Null when the queue does not respond' }),
    workers: z.array(text).meta({ description: 'Live workers that serve the lane' }),
    problems: z.array(problem),
    observed_at: time,
  })
  .meta({
    id: 'WhyOfLane',
    example: {
      lane: 'service_call',
      status: 'moving',
      summary: '3 jobs wait, and 1 worker serves the lane',
      paused: false,
      counts: null,
      workers: ['worker-1'],
      problems: [],
      observed_at: WHEN,
    },
  });

export type WhyOfRun = z.infer<typeof whyOfRun>;
export type SystemProblem = z.infer<typeof problem>;
export type WhyOfLane = z.infer<typeof whyOfLane>;
