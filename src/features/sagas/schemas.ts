/** Requests and responses of the API about sagas. */
import { z } from 'zod';
import { count, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { runStatus, taskStatus } from '../../schemas/requests.ts';

const DEFAULT_HOURS = 7 * 24;

export const sagaStatsQuery = z.object({
  hours: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(8_760)
    .default(DEFAULT_HOURS)
    .meta({ description: 'How many hours back sagas were accepted' }),
});

export const sagaStats = z
  .object({
    total_sagas: count,
    active_sagas: count.meta({ description: 'Sagas that have not ended' }),
    completed_sagas: count,
    failed_sagas: count.meta({
      description:
        'Sagas that ended otherwise: failed, timed out or cancelled with nothing to compensate, or not compensated',
    }),
    compensated_sagas: count.meta({ description: 'Compensated sagas' }),
    avg_completion_time: z
      .number()
      .min(0)
      .meta({ description: 'Of completed sagas, in seconds; 0 when there are none' }),
    since: time.nullable().meta({
      description: 'Acceptance time of the oldest saga that was counted: at most the newest 50,000 are counted',
    }),
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
        step_id: text.meta({ description: 'The action_id of the step' }),
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
          .meta({
            description: 'State of the compensation; null: there is none. `not_begun`: it was not necessary so far',
          }),
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
