/** What the HTTP door takes and answers about sagas. */
import { z } from 'zod';
import { count, RUN, text, time, WHEN } from './answer-shapes.ts';
import { runStatus, taskStatus } from './requests.ts';

const DEFAULT_HOURS = 7 * 24;

export const sagaStatsQuery = z.object({
  hours: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(8_760)
    .default(DEFAULT_HOURS)
    .meta({ description: 'How far back: sagas that were accepted within so many hours' }),
});

export const sagaStats = z
  .object({
    total_sagas: count,
    active_sagas: count.meta({ description: 'Not ended yet' }),
    completed_sagas: count,
    failed_sagas: count.meta({
      description: 'Ended otherwise: failed, timed out or cancelled with nothing to undo, or not undone',
    }),
    compensated_sagas: count.meta({ description: 'Undone' }),
    avg_completion_time: z.number().min(0).meta({ description: 'Of the completed ones, in seconds; 0 without any' }),
    since: time
      .nullable()
      .meta({ description: 'The oldest that was counted: of very many the newest 50,000 are counted' }),
  })
  .meta({
    id: 'SagaStats',
    example: {
      ...{ total_sagas: 4, active_sagas: 1, completed_sagas: 1, failed_sagas: 1, compensated_sagas: 1 },
      avg_completion_time: 2.5,
      since: WHEN,
    },
  });

const maybeTime = time.nullable();
const state = {
  attempts: count,
  started_at: maybeTime,
  completed_at: maybeTime,
  error_message: text.nullable(),
};

export const saga = z
  .object({
    saga_id: text.meta({ description: 'The id of the execution' }),
    correlation_id: text.nullable(),
    status: runStatus,
    steps: z.array(
      z.object({
        step_id: text.meta({ description: 'The action_id' }),
        name: text,
        action_type: text,
        status: taskStatus,
        ...state,
        compensation: z
          .object({
            action_type: text,
            status: z.union([taskStatus, z.literal('not_begun')]),
            ...state,
          })
          .nullable()
          .meta({ description: 'How it is undone; null: it is not. `not_begun`: it was not necessary so far' }),
      }),
    ),
    created_at: time,
    completed_at: maybeTime,
    error_message: text.nullable(),
  })
  .meta({
    id: 'Saga',
    example: {
      saga_id: RUN,
      correlation_id: null,
      status: 'compensated',
      steps: [],
      created_at: WHEN,
      completed_at: WHEN,
      error_message: 'answered 400',
    },
  });

export type Saga = z.infer<typeof saga>;
export type SagaStats = z.infer<typeof sagaStats>;
