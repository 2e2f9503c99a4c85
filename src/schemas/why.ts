/** What the HTTP door answers to those who ask why something does not go on. */
import { z } from 'zod';
import { count, RUN, text, time, WHEN } from './answer-shapes.ts';
import { laneHealth } from './engine-health.ts';
import { lateEffects } from './late-effects.ts';
import { runStatus, taskStatus } from './requests.ts';

const cause = z
  .looseObject({
    code: text.meta({ description: 'What it is; docs/diagnosis.md has a section for each', example: 'retrying' }),
    message: text,
  })
  .meta({ id: 'Cause', description: 'The cause, with the data that belong to it' });

const details = {
  since: time.nullable(),
  expected_at: time.nullable().meta({ description: 'When it goes on by itself, where that can be told' }),
  what_must_happen: text,
};

export const whyOfRun = z
  .object({
    execution_id: text,
    status: runStatus,
    finished: z.boolean(),
    summary: text.meta({ description: 'One sentence or two for people' }),
    root: z.object({ cause, ...details }).meta({ id: 'RootCause', description: 'What has to be looked at first' }),
    tasks: z
      .array(
        z
          .object({
            action_id: text,
            action_type: text,
            status: taskStatus,
            cause,
            ...details,
            also: z.array(cause).meta({ description: 'What else is not as it should be' }),
          })
          .meta({ id: 'TaskCause' }),
      )
      .meta({ description: 'Tasks that are not final: what could go on first, the heaviest causes first' }),
    more_tasks: count.meta({ description: 'Tasks that are not final and not in the list' }),
    late_effects: lateEffects.optional().meta({ description: 'What was given up and has been done all the same' }),
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
    status: z.enum(['moving', 'idle', 'held']).meta({ description: 'held: nobody takes what waits in it' }),
    summary: text,
    paused: z.boolean(),
    counts: laneHealth.nullable().meta({ description: 'Null when the queue does not answer' }),
    workers: z.array(text).meta({ description: 'Workers alive that serve it' }),
    problems: z.array(problem),
    observed_at: time,
  })
  .meta({ id: 'WhyOfLane' });

export type WhyOfRun = z.infer<typeof whyOfRun>;
export type SystemProblem = z.infer<typeof problem>;
export type WhyOfLane = z.infer<typeof whyOfLane>;
