/** Requests and responses of the API about signals. */
import { z } from 'zod';
import { json, RUN, text } from '../../schemas/answer-shapes.ts';

export const signalRequest = z
  .strictObject({
    payload: json.optional().meta({ description: 'Any JSON that matches the schema of the signal; null by default' }),
  })
  .meta({ id: 'SignalRequest', example: { payload: { amount: 42 } } });

export const signalAnswer = z
  .object({
    execution_id: text,
    name: text,
    action_id: text
      .nullable()
      .meta({ description: 'The action that received it; null: no action waits for it yet, and it is stored' }),
  })
  .meta({ id: 'AcceptedSignal', example: { execution_id: RUN, name: 'payment', action_id: 'wait_for_payment' } });
