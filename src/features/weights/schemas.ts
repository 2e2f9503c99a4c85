/** What the HTTP API takes and answers for the weights of tenants. */
import { z } from 'zod';
import { text, time, WHEN } from '../../schemas/answer-shapes.ts';

const weight = z.number().min(0.01).max(10_000);

export const tenantWeightRequest = z
  .strictObject({
    weight: weight
      .nullable()
      .meta({ description: 'Relative to 1 for other tenants; null: the value of TENANT_WEIGHTS, or else 1' }),
  })
  .meta({ id: 'TenantWeightRequest', example: { weight: 4 } });

export const tenantWeight = z
  .object({
    tenant_id: text,
    weight: z.number(),
    source: z.enum(['set', 'configured', 'default']),
    set_by: text.nullable(),
    updated_at: time.nullable(),
  })
  .meta({
    id: 'TenantWeight',
    example: { tenant_id: 'acme', weight: 4, source: 'set', set_by: 'ada', updated_at: WHEN },
  });
