/** What the service answers about itself, beyond whether it is alive. */
import { z } from 'zod';
import { text } from './answer-shapes.ts';

const metric = z.object({
  name: text,
  help: text,
  type: z.enum(['counter', 'gauge', 'histogram', 'summary']),
  aggregator: text,
  values: z.array(
    z.object({
      value: z.number(),
      labels: z.record(text, z.union([text, z.number()])),
      metricName: text.optional().meta({ description: 'Of a histogram: `…_bucket`, `…_sum` or `…_count`' }),
    }),
  ),
});

export const metricsAnswer = z.object({ metrics: z.array(metric) }).meta({ id: 'Metrics' });
