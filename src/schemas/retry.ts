/** The response of the API to a manual retry. */
import { z } from 'zod';
import { count, RUN, text } from './answer-shapes.ts';
import { runStatus } from './requests.ts';

export const retriedExecution = z
  .object({
    execution_id: text,
    status: runStatus,
    epoch: z.int().min(2).meta({ description: '2 after the first retry' }),
    reopened_actions: count.meta({ description: 'Number of actions that are executed again' }),
    message: text,
  })
  .meta({
    id: 'RetriedExecution',
    example: { execution_id: RUN, status: 'queued', epoch: 2, reopened_actions: 2, message: 'Retried' },
  });
