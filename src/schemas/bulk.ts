/** What the HTTP door takes and answers for many executions at once. */
import { z } from 'zod';
import { count, FLOW, text } from './answer-shapes.ts';
import { moment, runStatus } from './requests.ts';

const id = z.string().min(1).max(255);

const filter = z
  .strictObject({
    execution_ids: z.array(id).min(1).max(1_000).optional(),
    workflow_id: id.optional(),
    correlation_id: id.optional(),
    status: runStatus.optional(),
    from: moment.optional().meta({ description: 'Created at or after' }),
    to: moment.optional().meta({ description: 'Created before' }),
  })
  .refine((given) => Object.values(given).some((value) => value !== undefined), {
    error: 'must say which: at least one field',
  })
  .meta({ id: 'BulkFilter', example: { workflow_id: FLOW, status: 'failed' } });

export const bulkRequest = z
  .strictObject({
    filter,
    dry_run: z.boolean().default(false).meta({ description: 'Answers what would be done, and does nothing' }),
    reason: z.string().min(1).max(1_000).optional(),
  })
  .meta({ id: 'BulkRequest', example: { filter: { workflow_id: FLOW, status: 'failed' }, dry_run: true } });

export const bulkPlan = z
  .object({
    dry_run: z.literal(true),
    matched: count.meta({
      description: 'Executions in a state for it; one request does at most 1,000, the newest first',
    }),
    executions: count,
    actions: count.meta({ description: 'That would be cancelled, or executed again' }),
    tenant_id: text,
    users: z.record(z.string(), count).meta({ description: 'Whose executions, and how many' }),
    workflows: z.record(z.string(), count),
    acts_again: z
      .array(z.object({ workflow_id: text.nullable(), action_id: text, action_type: text, executions: count }))
      .meta({
        description: 'Actions that would act outside once more: they may have, and are not said to be idempotent',
      }),
  })
  .meta({ id: 'BulkPlan' });

export const bulkDone = z
  .object({ dry_run: z.literal(false), matched: count, executions: count.meta({ description: 'How many were done' }) })
  .meta({ id: 'BulkDone', example: { dry_run: false, matched: 12, executions: 12 } });

export type BulkRequest = z.output<typeof bulkRequest>;
