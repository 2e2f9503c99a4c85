/** What the jobs of the older workflow platform take and answer. */
import { z } from 'zod';
import { count, text, time, WHEN } from './answer-shapes.ts';
import { webUrl } from './requests.ts';

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

export const notifyConsolidationRequest = z
  .strictObject({
    min_confidence: z.number().min(0).max(1).default(0).meta({ description: 'Only candidates of at least that' }),
    webhook_url: webUrl.optional().meta({ description: 'Who is told; the log without it' }),
    limit: z.int().min(1).max(1_000).default(20).meta({ description: 'So many candidates, the first ones' }),
  })
  .meta({ id: 'NotifyConsolidationRequest', example: { min_confidence: 0.8, limit: 20 } });

export const notifyConsolidationAnswer = z
  .object({ status: z.literal('ok'), sent: count.meta({ description: 'How many candidates were told of' }) })
  .meta({ id: 'NotifyConsolidation', example: { status: 'ok', sent: 3 } });
