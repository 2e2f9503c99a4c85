/** Responses of the API about workflows and executions. The stores build these shapes. */
import { z } from 'zod';
import {
  count,
  exampleOf,
  FLOW,
  fieldFault,
  itemError,
  json,
  object,
  pageExample,
  paging,
  RUN,
  text,
  time,
  WHEN,
} from './answer-shapes.ts';
import { pausedBy } from './control.ts';
import { externalTask } from './external-tasks.ts';
import { lateEffects } from './late-effects.ts';
import { runStatus, taskStatus, workflowStatus } from './requests.ts';
import { waitingFor } from './waiting-for.ts';

const maybeTime = time.nullable();

const canary = z
  .object({ version: z.int().min(1), percent: z.int().min(0).max(100) })
  .meta({ id: 'Canary', description: 'A version that gets a share of the executions without an explicit version' });

const executionStatistics = z
  .object({
    total_executions: count,
    successful_executions: count,
    failed_executions: count,
    success_rate: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .meta({ description: 'Share of completed executions among those that completed or failed' }),
    average_execution_time: z.number().nullable().meta({ description: 'In seconds, of completed executions' }),
    last_execution_at: maybeTime,
  })
  .meta({ id: 'ExecutionStatistics', description: 'Statistics of the newest 10,000 executions' });

export const workflow = z
  .object({
    workflow_id: text,
    name: text,
    description: text.nullable(),
    version: z.int().min(1),
    current_version: z
      .int()
      .min(1)
      .meta({ description: 'The current version of the workflow, whatever version is shown' }),
    canary: canary.optional(),
    version_label: text.optional().meta({ description: 'The `version` label of the definition' }),
    status: workflowStatus,
    tags: z.array(text),
    parameters: z.array(object),
    actions: z.array(object),
    output: json.optional(),
    dedupe: object.optional(),
    concurrency: object.optional(),
    timeout_seconds: z.number().optional().meta({ description: 'Timeout of a whole execution' }),
    retention_days: z
      .int()
      .min(1)
      .optional()
      .meta({ description: 'An execution is deleted this many days after its end' }),
    metadata: object.optional(),
    execution_statistics: executionStatistics
      .optional()
      .meta({ description: 'Only when a single workflow is requested' }),
    triggers: z.array(object).optional(),
    paused: pausedBy.optional().meta({ description: 'While the workflow is paused: who paused it' }),
    created_by: text,
    created_at: time,
    updated_at: time,
  })
  .meta({
    id: 'Workflow',
    example: {
      workflow_id: FLOW,
      name: 'Hello World',
      description: null,
      version: 1,
      current_version: 1,
      status: 'active',
      tags: [],
      parameters: [{ name: 'message', type: 'string', required: true }],
      actions: [
        { action_id: 'greet', action_type: 'notification', config: { message: '{{message}}' }, depends_on: [] },
      ],
      created_by: 'anonymous',
      created_at: WHEN,
      updated_at: WHEN,
    },
  });

export const workflowSummary = z
  .object({
    workflow_id: text,
    name: text,
    description: text.nullable(),
    version: z.int().min(1),
    status: workflowStatus,
    tags: z.array(text),
    parameters_count: count,
    actions_count: count,
    total_executions: count.meta({ description: 'Counted up to 10,000' }),
    created_by: text,
    created_at: time,
    updated_at: time,
  })
  .meta({
    id: 'WorkflowSummary',
    example: {
      workflow_id: FLOW,
      name: 'Hello World',
      description: null,
      version: 1,
      status: 'active',
      tags: [],
      parameters_count: 1,
      actions_count: 1,
      total_executions: 12,
      created_by: 'anonymous',
      created_at: WHEN,
      updated_at: WHEN,
    },
  });

export const workflowList = z
  .object({ items: z.array(workflowSummary), workflows: z.array(workflowSummary), ...paging })
  .meta({ id: 'WorkflowList', example: { ...pageExample(workflowSummary), workflows: [exampleOf(workflowSummary)] } });

const workflowVersion = z
  .object({
    version: z.int().min(1),
    name: text,
    description: text.nullable(),
    actions_count: count,
    current: z.boolean(),
    canary_percent: z.int().min(0).max(100).nullable(),
    runs: count.meta({ description: 'Number of executions, among the newest 100,000 of the workflow' }),
    completed: count,
    failed: count,
    success_rate: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .meta({ description: 'Share of completed executions among those that completed or failed' }),
    created_by: text,
    created_at: time,
  })
  .meta({
    id: 'WorkflowVersion',
    example: {
      version: 1,
      name: 'Hello World',
      description: null,
      actions_count: 1,
      current: true,
      canary_percent: null,
      runs: 12,
      completed: 11,
      failed: 1,
      success_rate: 0.92,
      created_by: 'anonymous',
      created_at: WHEN,
    },
  });
export const workflowVersionList = z
  .object({ items: z.array(workflowVersion), ...paging })
  .meta({ id: 'WorkflowVersionList', example: pageExample(workflowVersion) });

const deduplicated = z.literal(true).optional().meta({
  description: 'No new execution was started: this one has the same key within the `dedupe` window of the workflow',
});

const change = z.object({ path: text, old: json.optional(), new: json.optional() }).meta({
  id: 'FieldChange',
  description: '`old` is omitted when there was no value before, `new` when there is none now',
});
const changes = z.array(change);
export const versionDiff = z
  .object({
    workflow_id: text,
    from: z.int().min(1),
    to: z.int().min(1),
    identical: z.boolean(),
    breaking: z.boolean(),
    reasons: z
      .array(fieldFault)
      .meta({ description: 'What breaks callers, readers of outputs, or users and workers that respond to actions' }),
    fields: changes.meta({ description: 'Changes apart from parameters and actions' }),
    parameters: z.object({
      added: z.array(object),
      removed: z.array(object),
      changed: z.array(z.object({ name: text, changes })),
    }),
    actions: z.object({
      added: z.array(object),
      removed: z.array(object),
      changed: z.array(z.object({ action_id: text, changes })),
    }),
  })
  .meta({
    id: 'VersionDiff',
    example: {
      workflow_id: FLOW,
      from: 1,
      to: 2,
      identical: false,
      breaking: true,
      reasons: [{ path: 'parameters.message', message: 'is required now' }],
      fields: [],
      parameters: { added: [], removed: [], changed: [{ name: 'message', changes: [{ path: 'default', old: 'Hi' }] }] },
      actions: { added: [], removed: [], changed: [] },
    },
  });

export const acceptedExecution = z
  .object({
    execution_id: text,
    workflow_id: text,
    workflow_version: z.int().nullable(),
    status: z.literal('pending'),
    created_at: time,
    links: z.object({ self: text, workflow: text, cancel: text, events: text, result: text }),
    deduplicated,
    warnings: z
      .array(text)
      .optional()
      .meta({ description: 'For example parameters that the workflow does not declare' }),
  })
  .meta({
    id: 'AcceptedExecution',
    example: {
      execution_id: RUN,
      workflow_id: FLOW,
      workflow_version: 1,
      status: 'pending',
      created_at: WHEN,
      links: {
        self: `/workflows/executions/${RUN}`,
        workflow: `/workflows/${FLOW}`,
        cancel: `/workflows/executions/${RUN}/cancel`,
        events: `/workflows/executions/${RUN}/events`,
        result: `/result/${RUN}`,
      },
    },
  });

export const acceptedExecutions = z
  .object({
    items: z.array(
      z.union([
        z.object({ index: count, execution_id: text, status: z.literal('pending'), deduplicated }),
        z.object({ index: count, error: itemError }),
      ]),
    ),
  })
  .meta({ id: 'AcceptedExecutions', example: { items: [{ index: 0, execution_id: RUN, status: 'pending' }] } });

const executionHead = {
  execution_id: text,
  workflow_id: text.nullable().meta({ description: 'Null for a single task' }),
  workflow_version: z.int().nullable(),
  status: runStatus,
  error: json,
  priority: z.int(),
  trace_id: text.nullable(),
  correlation_id: text.nullable(),
  tenant_id: text,
  user_id: text,
  parent: z
    .object({ execution_id: text, action_id: text, link: text.optional() })
    .nullable()
    .meta({ description: 'The `workflow` action that started it' }),
  created_at: time,
  deadline_at: maybeTime.meta({ description: 'The execution ends as `timed_out` unless it is done by then' }),
  started_at: maybeTime,
  finished_at: maybeTime,
  duration_ms: count.nullable(),
};

/** Of an execution that has completed. */
const headExample = {
  ...{ execution_id: RUN, workflow_id: FLOW, workflow_version: 1, status: 'completed', error: null, priority: 50 },
  ...{ trace_id: null, correlation_id: null, tenant_id: 'default', user_id: 'anonymous', parent: null },
  ...{ created_at: WHEN, deadline_at: null, started_at: WHEN, finished_at: WHEN, duration_ms: 40 },
};

export const executionSummary = z
  .object({ ...executionHead, task_type: text.optional() })
  .meta({ id: 'ExecutionSummary', example: headExample });
export const executionList = z
  .object({
    items: z.array(executionSummary),
    executions: z.array(executionSummary),
    ...paging,
    next_cursor: text.nullable(),
  })
  .meta({
    id: 'ExecutionList',
    example: { ...pageExample(executionSummary), executions: [headExample], next_cursor: null },
  });

const attempt = z
  .object({
    attempt: z.int().min(1),
    epoch: z.int().min(1),
    status: text,
    error: json,
    worker: text.nullable(),
    started_at: time,
    finished_at: time,
    duration_ms: count,
  })
  .meta({ id: 'Attempt' });

const compensation = z
  .object({
    action_type: text,
    status: taskStatus,
    attempts: count,
    input: json,
    output: json,
    error: json,
    started_at: maybeTime,
    finished_at: maybeTime,
  })
  .meta({ id: 'TaskCompensation' });

const partCounts = z
  .object({ total: count })
  .catchall(count)
  .meta({ id: 'PartCounts', example: { total: 3, completed: 2, running: 1 } });

export const executionTask = z
  .object({
    action_id: text,
    action_type: text,
    status: taskStatus,
    attempts: count,
    attempts_history: z.array(attempt),
    input: json,
    output: json,
    omitted: z
      .literal(true)
      .optional()
      .meta({ description: 'Input and output were omitted because the response would be too large' }),
    effect_unknown: z
      .literal(true)
      .optional()
      .meta({ description: 'It was executed, but its outcome is unknown: the effect may have happened' }),
    cached: z
      .literal(true)
      .optional()
      .meta({ description: 'The output was cached by an earlier execution; nothing was executed' }),
    error: json,
    progress: z
      .object({ percent: z.number().min(0).max(100).nullable(), message: text.nullable(), at: time })
      .nullable()
      .meta({
        description: 'The latest progress reported by the task, with its time; null when its adapter reports none',
      }),
    compensation: compensation
      .optional()
      .meta({ description: 'How it was compensated when its execution failed or was cancelled' }),
    parts: partCounts.optional().meta({ description: 'For a fan-out or loop: its items or iterations, by status' }),
    waiting_for: waitingFor.optional().meta({ description: 'What a sleeping task waits for' }),
    queued_at: maybeTime,
    started_at: maybeTime,
    finished_at: maybeTime,
    duration_ms: count.nullable(),
    worker: text.nullable(),
    external: externalTask.optional(),
    child: z
      .object({ execution_id: text, status: runStatus, link: text.optional() })
      .optional()
      .meta({ description: 'The execution that a `workflow` action started last' }),
  })
  .meta({
    id: 'ExecutionTask',
    example: {
      ...{ action_id: 'greet', action_type: 'notification', status: 'completed', attempts: 1, attempts_history: [] },
      ...{ input: { message: 'hello' }, output: { sent: true }, error: null, progress: null, queued_at: WHEN },
      ...{ started_at: WHEN, finished_at: WHEN, duration_ms: 40, worker: 'worker-1' },
    },
  });

const executionPart = z
  .object({
    action_id: text,
    position: count,
    status: taskStatus,
    attempts: count,
    attempts_history: z.array(attempt),
    item: json,
    input: json,
    output: json,
    error: json,
    started_at: maybeTime,
    finished_at: maybeTime,
    worker: text.nullable(),
    waiting_for: waitingFor.optional(),
  })
  .meta({
    id: 'ExecutionPart',
    example: {
      ...{ action_id: 'fetch', position: 0, status: 'completed', attempts: 1, attempts_history: [], item: 'a' },
      ...{ input: { key: 'a' }, output: { size: 3 }, error: null, started_at: WHEN, finished_at: WHEN },
      worker: 'worker-1',
    },
  });

export const executionParts = z
  .object({ items: z.array(executionPart), next_cursor: text.nullable() })
  .meta({ id: 'ExecutionParts', example: { items: [exampleOf(executionPart)], next_cursor: null } });

const progress = z
  .object({
    total: count,
    completed: count,
    failed: count,
    skipped: count,
    running: count,
    pending: count,
    percent: z.number().min(0).max(100),
    total_actions: count.meta({ description: 'Older name of `total`' }),
    completed_actions: count.meta({ description: 'Older name of `completed`' }),
    percentage: z.number().min(0).max(100).meta({ description: 'Older name of `percent`' }),
    current_action: text.nullable().meta({ description: 'The first of the running actions' }),
  })
  .meta({
    id: 'Progress',
    example: {
      ...{ total: 3, completed: 1, failed: 0, skipped: 0, running: 1, pending: 1, percent: 33.3 },
      ...{ total_actions: 3, completed_actions: 1, percentage: 33.3, current_action: 'analyze_quality' },
    },
  });

export const execution = z
  .object({
    ...executionHead,
    task_type: text.optional(),
    waiting_for: z
      .object({ concurrency_key: text, limit: z.int().min(1), position: z.int().min(1).optional() })
      .optional()
      .meta({ description: 'While it waits for other executions with the same key to end; `position` 1 is next' }),
    parameters: object,
    output: json,
    progress,
    tasks: z.array(executionTask),
    cancel_reason: text.nullable(),
    paused: pausedBy.optional().meta({ description: 'While the workflow is paused: who paused it' }),
    late_effects: lateEffects.optional().meta({ description: 'Actions that were abandoned and succeeded afterwards' }),
  })
  .meta({
    id: 'Execution',
    example: {
      ...headExample,
      parameters: { message: 'hello' },
      output: { greet: { sent: true } },
      progress: exampleOf(progress),
      tasks: [exampleOf(executionTask)],
      cancel_reason: null,
    },
  });

export const cancelledExecution = z.object({ execution_id: text, status: runStatus, message: text }).meta({
  id: 'CancelledExecution',
  example: { execution_id: RUN, status: 'cancelling', message: 'Cancellation requested' },
});

export const dryRun = object.meta({
  description: 'The plan: the order of the actions and the flow trees',
  example: { workflow_id: FLOW, workflow_version: 1, order: ['greet'], trees: [] },
});

export type ExecutionStatistics = z.infer<typeof executionStatistics>;
export type Workflow = z.infer<typeof workflow>;
export type WorkflowSummary = z.infer<typeof workflowSummary>;
export type WorkflowVersionSummary = z.infer<typeof workflowVersion>;
export type ExecutionSummary = z.infer<typeof executionSummary>;
export type ExecutionTask = z.infer<typeof executionTask>;
export type Compensation = z.infer<typeof compensation>;
export type ExecutionPart = z.infer<typeof executionPart>;
export type AttemptView = z.infer<typeof attempt>;
export type Execution = z.infer<typeof execution>;
export type Progress = z.infer<typeof progress>;
