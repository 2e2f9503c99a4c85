/** Requests and responses of the API about late effects: successes that came when they were not awaited any more. */
import { z } from 'zod';
import { count, json, RUN, text, time, WHEN } from './answer-shapes.ts';
import { taskId } from './task-id.ts';

const seen = {
  action_id: text,
  attempt: count,
  epoch: z.int().min(1),
  at: time,
  worker: text.nullable(),
  compensated: z.boolean().nullable().meta({
    description: 'Whether it is being or was compensated; false: compensation is due. null: no compensation follows',
  }),
};

export const lateEffect = z
  .object({ ...seen, output: json })
  .meta({ id: 'LateEffect', description: 'An action that was abandoned and succeeded afterwards' });
export const lateEffects = z.array(lateEffect);
export type LateEffect = z.infer<typeof lateEffect>;

export const lateEffectsQuery = z.object({
  execution_id: z.string().min(1).max(255).optional(),
  action_id: taskId.optional(),
  compensated: z
    .enum(['true', 'false', 'null'])
    .optional()
    .meta({ description: 'Whether they are compensated; `null`: no compensation follows' }),
  limit: z.coerce.number<string>().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the previous page' }),
});

const listed = z.object({ execution_id: text, execution_status: text, ...seen }).meta({ id: 'ListedLateEffect' });
export type ListedLateEffect = z.infer<typeof listed>;

export const lateEffectList = z
  .object({ items: z.array(listed), page: count, page_size: count, next_cursor: text.nullable() })
  .meta({
    id: 'LateEffectList',
    example: {
      items: [
        {
          ...{ execution_id: RUN, execution_status: 'compensated', action_id: 'pay', attempt: 1, epoch: 1, at: WHEN },
          ...{ worker: 'worker-1', compensated: true },
        },
      ],
      ...{ page: 1, page_size: 50, next_cursor: null },
    },
  });
