/** What a task that sleeps waits for, as far as it is something that somebody outside brings about. */
import { z } from 'zod';
import { text, time } from './answer-shapes.ts';

export const waitingFor = z
  .discriminatedUnion('kind', [
    z.object({
      kind: z.literal('approval'),
      message: text.nullable(),
      approvers: z.array(text).meta({ description: 'Null: everybody in the tenant' }),
      deadline: time.nullable(),
      escalated: z.boolean(),
      since: time,
    }),
    z.object({ kind: z.literal('signal'), name: text, deadline: time.nullable(), since: time }),
  ])
  .meta({ id: 'WaitingFor' });

export type WaitingFor = z.infer<typeof waitingFor>;
