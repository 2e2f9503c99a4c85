/** What the jobs of the older workflow platform take and answer. */
import { z } from 'zod';
import { count, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { webUrl } from '../../schemas/requests.ts';

export const recalcQualityAnswer = z
  .object({
    status: z.enum(['success', 'skipped']),
    flagged: count.meta({ description: 'Number of documents with flags' }),
    timestamp: time,
    reason: text.optional().meta({ description: 'Why it was skipped' }),
  })
  .meta({ id: 'RecalcQuality', example: { status: 'success', flagged: 3, timestamp: WHEN } });
/** What the workflow itself gives. */
export const recalcQualityOutput = recalcQualityAnswer.omit({ timestamp: true });

export const notifyConsolidationRequest = z
  .strictObject({
    min_confidence: z.number().min(0).max(1).default(0).meta({ description: 'Minimum confidence of the candidates' }),
    webhook_url: webUrl
      .optional()
      .meta({ description: 'Receiver of the notification; by default it is written to the log' }),
    limit: z.int().min(1).max(1_000).default(20).meta({ description: 'Maximum number of candidates, the first ones' }),
  })
  .meta({ id: 'NotifyConsolidationRequest', example: { min_confidence: 0.8, limit: 20 } });

export const notifyConsolidationAnswer = z
  .object({ status: z.literal('ok'), sent: count.meta({ description: 'Number of candidates in the notification' }) })
  .meta({ id: 'NotifyConsolidation', example: { status: 'ok', sent: 3 } });
