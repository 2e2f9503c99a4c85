/** Requests and responses of the API about failures in groups. */
import { z } from 'zod';
import { count, FLOW, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { moment, runStatus } from '../../schemas/requests.ts';

const state = z.enum(['open', 'resolved', 'ignored']);

export const errorGroupQuery = z.object({
  state: state.optional(),
  workflow_id: id.optional(),
  action_type: id.optional(),
  from: moment.optional().meta({ description: 'Last seen at or after' }),
  to: moment.optional().meta({ description: 'First seen before' }),
  sort: z
    .enum(['last_seen', 'count'])
    .default('last_seen')
    .meta({ description: 'Sort key, always in descending order' }),
  limit: z.coerce.number<string>().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the previous page' }),
});

export const errorGroupRetryRequest = z
  .strictObject({
    dry_run: z.boolean().default(false).meta({ description: 'Only counts, without changing anything' }),
    limit: z.int().min(1).max(1_000).default(1_000).meta({ description: 'Maximum number of executions' }),
  })
  .meta({ id: 'ErrorGroupRetryRequest', example: { dry_run: true } });

const shape = {
  fingerprint: text.meta({
    description: 'Hash of the action type, workflow, action, code and normalized message',
  }),
  state: state.meta({ description: 'resolved: it is reopened when the failure occurs again' }),
  state_by: text.nullable(),
  state_at: time.nullable(),
  regressions: count.meta({ description: 'How many times the failure occurred again after it was resolved' }),
  action_type: text,
  workflow_id: text.nullable().meta({ description: 'null: single tasks' }),
  action_id: text,
  code: text.meta({ example: 'upstream_error' }),
  template: text.meta({ description: 'The message without its variable parts', example: 'order <n> is unknown' }),
  message: text.meta({ description: 'The newest message, unchanged', example: 'order 4711 is unknown' }),
  execution_id: text.nullable().meta({ description: 'The execution of the newest failure' }),
  count: count.meta({ description: 'Number of failed attempts' }),
  failed_tasks: count.meta({ description: 'Number of failures after which the task was not retried' }),
  executions: count.meta({ description: 'Number of executions with this failure' }),
  first_seen: time,
  last_seen: time,
};
const example = {
  fingerprint: '9f86d081884c7d659a2feaa0',
  state: 'open' as const,
  state_by: null,
  state_at: null,
  regressions: 0,
  action_type: 'service_call',
  workflow_id: FLOW,
  action_id: 'analyze',
  code: 'upstream_rejected',
  template: 'order <n> is unknown',
  message: 'order 4711 is unknown',
  execution_id: RUN,
  count: 12,
  failed_tasks: 4,
  executions: 4,
  first_seen: WHEN,
  last_seen: WHEN,
};

export const errorGroup = z.object(shape).meta({ id: 'ErrorGroup', example });

export const errorGroupList = z
  .object({ items: z.array(errorGroup), page: count, page_size: count, total: count, next_cursor: text.nullable() })
  .meta({ id: 'ErrorGroupList', example: { items: [example], page: 1, page_size: 50, total: 1, next_cursor: null } });

export const errorGroupDetails = z
  .object({
    ...shape,
    waiting: count.meta({ description: 'Tasks that failed with it and were neither retried nor discarded since' }),
    recent_executions: z.array(z.object({ execution_id: text, status: runStatus, failures: count, last_seen: time })),
    hours: z
      .array(z.object({ from: time, count }))
      .meta({ description: 'Failed attempts of the last 24 hours by hour, oldest first' }),
  })
  .meta({
    id: 'ErrorGroupDetails',
    example: {
      ...example,
      waiting: 1,
      recent_executions: [{ execution_id: RUN, status: 'failed', failures: 1, last_seen: WHEN }],
      hours: [{ from: WHEN, count: 1 }],
    },
  });

export const errorGroupRetried = z
  .object({
    dry_run: z.boolean(),
    matched: count.meta({ description: 'Failed tasks with this failure that were neither retried nor discarded' }),
    executions: count.meta({ description: 'Number of executions that are, or would be, retried' }),
  })
  .meta({ id: 'ErrorGroupRetried', example: { dry_run: false, matched: 4, executions: 4 } });
