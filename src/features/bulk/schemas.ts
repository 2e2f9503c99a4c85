/** Requests and responses of the API for many executions at once. */
import { z } from 'zod';
import { count, FLOW, text } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { moment, runStatus } from '../../schemas/requests.ts';

const filter = z
  .strictObject({
    execution_ids: z.array(id).min(1).max(1_000).optional(),
    workflow_id: id.optional(),
    correlation_id: id.optional(),
    status: runStatus.optional(),
    from: moment.optional().meta({ description: 'Created at or after' }),
    to: moment.optional().meta({ description: 'Created before' }),
  })
  .refine((fields) => Object.values(fields).some((value) => value !== undefined), {
    error: 'must say which: at least one field',
  })
  .meta({ id: 'BulkFilter', example: { workflow_id: FLOW, status: 'failed' } });

export const bulkRequest = z
  .strictObject({
    filter,
    dry_run: z.boolean().default(false).meta({ description: 'Returns what would be done, without doing it' }),
    reason: z.string().min(1).max(1_000).optional(),
  })
  .meta({ id: 'BulkRequest', example: { filter: { workflow_id: FLOW, status: 'failed' }, dry_run: true } });

export const bulkPlan = z
  .object({
    dry_run: z.literal(true),
    matched: count.meta({
      description: 'Executions in a matching state; one request processes at most 1,000, the newest first',
    }),
    executions: count,
    actions: count.meta({ description: 'Number of actions that would be cancelled, or executed again' }),
    tenant_id: text,
    users: z
      .record(z.string(), count)
      .meta({ description: 'Users who own the executions, with the number of executions of each' }),
    workflows: z.record(z.string(), count),
    acts_again: z
      .array(z.object({ workflow_id: text.nullable(), action_id: text, action_type: text, executions: count }))
      .meta({
        description:
          'Number of actions whose external effects may be repeated: they may have happened, and the actions are not declared idempotent',
      }),
  })
  .meta({
    id: 'BulkPlan',
    example: {
      dry_run: true,
      matched: 2,
      executions: 2,
      actions: 3,
      tenant_id: 'default',
      users: { anna: 2 },
      workflows: { [FLOW]: 2 },
      acts_again: [{ workflow_id: FLOW, action_id: 'charge_card', action_type: 'service_call', executions: 2 }],
    },
  });

export const bulkDone = z
  .object({
    dry_run: z.literal(false),
    matched: count,
    executions: count.meta({ description: 'Number of executions processed' }),
  })
  .meta({ id: 'BulkDone', example: { dry_run: false, matched: 12, executions: 12 } });

export type BulkRequest = z.output<typeof bulkRequest>;
