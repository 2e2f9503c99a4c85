/** What the jobs of the older workflow platform take and answer. */
import { z } from 'zod';
import { count, text, time, WHEN } from './answer-shapes.ts';

export const recalcQualityAnswer = z
  .object({
    status: z.enum(['success', 'skipped']),
    flagged: count.meta({ description: 'How many documents have flags' }),
    timestamp: time,
    reason: text.optional().meta({ description: 'Why it was skipped' }),
  })
  .meta({ id: 'RecalcQuality', example: { status: 'success', flagged: 3, timestamp: WHEN } });

/** What the workflow itself gives. */
export const recalcQualityOutput = recalcQualityAnswer.omit({ timestamp: true });
