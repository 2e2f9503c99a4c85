/** Requests and responses of the API for the control of executions: pause, rerun, skip and manual completion. */
import { z } from 'zod';
import { count, exampleOf, FLOW, json, RUN, text, time, WHEN } from './answer-shapes.ts';
import { lateEffects } from './late-effects.ts';
import { runStatus, taskStatus } from './requests.ts';

const reason = z
  .string()
  .min(1)
  .max(1_000)
  .meta({ description: 'Free text, stored with the event', example: 'service under repair' });
const actionId = z.string().min(1).max(255).meta({ example: 'charge_card' });

export const reasonRequest = z
  .strictObject({ reason: reason.optional() })
  .meta({ id: 'ReasonRequest', example: { reason: 'service under repair' } });

export const rerunRequest = z
  .strictObject({
    action_id: actionId,
    reason: reason.optional(),
    dry_run: z.boolean().default(false).meta({ description: 'Returns what would be done, without doing it' }),
  })
  .meta({ id: 'RerunRequest', example: { action_id: 'charge_card', dry_run: true } });

export const skipRequest = z
  .strictObject({ action_id: actionId, reason: reason.optional() })
  .meta({ id: 'SkipRequest', example: { action_id: 'notify', reason: 'approved by telephone' } });

export const completeRequest = z
  .strictObject({
    action_id: actionId,
    output: json.meta({ description: 'The output of the action, as dependent actions read it' }),
    comment: reason.optional(),
  })
  .refine(({ output }) => output !== undefined, { path: ['output'], error: 'is required' })
  .meta({ id: 'CompleteRequest', example: { action_id: 'charge_card', output: { charge: 'ch_1' } } });

export const controlledExecution = z.object({ execution_id: text, status: runStatus, message: text }).meta({
  id: 'ControlledExecution',
  example: { execution_id: RUN, status: 'paused', message: 'Paused' },
});

export const settledAction = z.object({ execution_id: text, action_id: text, status: taskStatus, message: text }).meta({
  id: 'SettledAction',
  example: { execution_id: RUN, action_id: 'notify', status: 'skipped', message: 'Skipped' },
});

export const reopenedAction = z.object({
  action_id: text,
  action_type: text,
  status: taskStatus.meta({ description: 'The current status' }),
  acts_again: z.boolean().meta({
    description:
      'The action may already have had an external effect and is not declared idempotent: the effect would be repeated',
  }),
});

export const rerunPlan = z
  .object({
    execution_id: text,
    dry_run: z.literal(true),
    epoch: z.int().min(2),
    tenant_id: text,
    user_id: text,
    workflow_id: text.nullable(),
    workflow_version: z.int().nullable(),
    reopened_actions: count,
    kept_actions: count,
    actions: z.array(reopenedAction),
    acts_again: z.array(text).meta({ description: 'Ids of the actions whose external effects would be repeated' }),
    late_effects: lateEffects.meta({
      description: 'Actions that were abandoned and succeeded afterwards: their effects would be repeated',
    }),
  })
  .meta({
    id: 'RerunPlan',
    example: {
      execution_id: RUN,
      dry_run: true,
      epoch: 2,
      tenant_id: 'default',
      user_id: 'anonymous',
      workflow_id: FLOW,
      workflow_version: 1,
      reopened_actions: 1,
      kept_actions: 2,
      actions: [{ action_id: 'charge_card', action_type: 'service_call', status: 'completed', acts_again: true }],
      acts_again: ['charge_card'],
      late_effects: [],
    },
  });

/** Who paused something, since when and why. */
export const pausedBy = z
  .object({ by: text, since: time, reason: text.nullable() })
  .meta({ id: 'PausedBy', example: { by: 'ada', since: WHEN, reason: 'service under repair' } });

export type PausedBy = z.infer<typeof pausedBy>;

export const workflowPauseRequest = z
  .strictObject({
    reason: reason.optional(),
    runs: z.enum(['keep', 'pause']).default('keep').meta({ description: 'pause: pauses its live executions too' }),
  })
  .meta({ id: 'WorkflowPauseRequest', example: { reason: 'service under repair', runs: 'pause' } });

export const workflowResumeRequest = z
  .strictObject({
    reason: reason.optional(),
    runs: z.enum(['keep', 'resume']).default('keep').meta({ description: 'resume: resumes its paused executions too' }),
  })
  .meta({ id: 'WorkflowResumeRequest', example: { runs: 'resume' } });

export const controlOperation = z
  .object({
    operation_id: text,
    kind: z.enum(['pause', 'resume', 'cancel']).meta({ description: 'What is done to each execution' }),
    workflow_id: text,
    status: z.enum(['pending', 'running', 'completed', 'superseded']).meta({
      description: 'superseded: another operation was requested for the workflow before this one completed',
    }),
    reason: text.nullable(),
    requested_by: text,
    executions: z.object({
      total: count.meta({ description: 'At the time of the request' }),
      done: count,
      skipped: count.meta({ description: 'Executions that had ended or were in another state' }),
      failed: count,
    }),
    error: text
      .nullable()
      .meta({ description: 'Why the operation does not progress at the moment, or why the last one failed' }),
    requested_at: time,
    finished_at: time.nullable(),
    links: z.object({ self: text }),
  })
  .meta({
    id: 'ControlOperation',
    example: {
      operation_id: RUN,
      kind: 'pause',
      workflow_id: FLOW,
      status: 'running',
      reason: 'service under repair',
      requested_by: 'ada',
      executions: { total: 100_000, done: 4_200, skipped: 0, failed: 0 },
      error: null,
      requested_at: WHEN,
      finished_at: null,
      links: { self: `/workflows/operations/${RUN}` },
    },
  });
export type ControlOperation = z.infer<typeof controlOperation>;

export const controlledWorkflow = z
  .object({
    workflow_id: text,
    status: text,
    executions: count.meta({
      description: 'Number of executions processed so far; `operation` shows when all are done',
    }),
    operation: controlOperation.optional(),
    message: text,
  })
  .meta({
    id: 'ControlledWorkflow',
    example: { workflow_id: FLOW, status: 'paused', executions: 2, message: 'Paused' },
  });

export const lane = z
  .object({
    lane: text.meta({ description: 'The action type' }),
    paused: z.boolean(),
    by: text.nullable().meta({ description: 'null also for a user of another tenant' }),
    since: time.nullable(),
    reason: text.nullable(),
    depth: count.nullable().meta({ description: 'Number of waiting jobs; null when the queue cannot be reached' }),
    active: count.nullable(),
    delayed: count.nullable(),
  })
  .meta({
    id: 'Lane',
    example: {
      lane: 'service_call',
      paused: false,
      by: null,
      since: null,
      reason: null,
      depth: 3,
      active: 1,
      delayed: 0,
    },
  });
export const laneList = z
  .object({ items: z.array(lane), total: count })
  .meta({ id: 'LaneList', example: { items: [exampleOf(lane)], total: 1 } });

export const controlledLane = z.object({ lane: text, paused: z.boolean(), message: text }).meta({
  id: 'ControlledLane',
  example: { lane: 'service_call', paused: true, message: 'Paused' },
});

export const controlEventQuery = z.object({
  subject: z.enum(['workflow', 'lane']).optional(),
  subject_id: z.string().min(1).max(255).optional(),
  limit: z.coerce.number<string>().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the previous page' }),
});

export const controlEvent = z
  .object({
    id: text,
    subject: z.enum(['workflow', 'lane']),
    subject_id: text,
    kind: text,
    by: text,
    reason: text.nullable(),
    details: z.object({ runs: text }).nullable(),
    at: time,
  })
  .meta({
    id: 'ControlEvent',
    example: {
      id: '7',
      subject: 'workflow',
      subject_id: FLOW,
      kind: 'paused',
      by: 'ada',
      reason: 'service under repair',
      details: { runs: 'keep' },
      at: WHEN,
    },
  });
export const controlEventList = z
  .object({ items: z.array(controlEvent), next_cursor: text.nullable() })
  .meta({ id: 'ControlEventList', example: { items: [exampleOf(controlEvent)], next_cursor: null } });
export type ControlEvent = z.infer<typeof controlEvent>;
