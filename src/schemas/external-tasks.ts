/** Requests and responses of the API about tasks of external workers. */
import { z } from 'zod';
import { count, json, RUN, text, time, WHEN } from './answer-shapes.ts';
import { logLevel } from './run-logs.ts';
import { TOPIC } from './topic.ts';

const MAX_TASKS_PER_POLL = 50;
const MAX_POLL_SECONDS = 30;
const MAX_LEASE_SECONDS = 86_400;
const TASK = '6a1b0c9d-8e7f-4c33-9d2f-0197c2a05b1e';
const TOKEN = '0c9d8e7f-6a1b-4d42-8a55-1f2e3d4c5b6a';

const topic = z.string().regex(TOPIC, 'must be 1 to 255 letters, digits and . _ : / -');
const workerId = z.string().regex(/^[\x20-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters');
const leaseToken = z.string().min(1).max(64);
const leaseSeconds = z.number().min(1).max(MAX_LEASE_SECONDS);
/** Any value but none; it was read as JSON. */
const anyJson = z.custom<z.output<typeof json>>((value) => value !== undefined, 'is required');

export const pollRequest = z
  .strictObject({
    topic: topic.meta({ example: 'thumbnails' }),
    worker_id: workerId.meta({
      description: 'A label that shows who holds the task; not used for authentication',
      example: 'worker-1',
    }),
    max: z.int().min(1).max(MAX_TASKS_PER_POLL).default(1),
    wait_seconds: z
      .number()
      .min(0)
      .max(MAX_POLL_SECONDS)
      .default(0)
      .meta({ description: 'Long polling: how long to wait for a task before an empty list is returned' }),
    lease_seconds: leaseSeconds.default(30).meta({
      description:
        'Duration of the lease; without a heartbeat before it expires, the task goes to the next worker that polls',
    }),
  })
  .meta({ id: 'PollTasksRequest', example: { topic: 'thumbnails', worker_id: 'worker-1', wait_seconds: 20 } });

export const polledTasks = z
  .object({
    tasks: z.array(
      z.object({
        task_id: text.meta({ description: 'Id of this attempt' }),
        lease_token: text.meta({ description: 'Changes with every lease; only the newest token is valid' }),
        execution_id: text,
        action_id: text,
        attempt: z.int().min(1),
        topic: text,
        input: json,
        deadline: time.meta({ description: 'The attempt fails with `timeout` unless it is completed by then' }),
        lease_expires_at: time,
      }),
    ),
  })
  .meta({
    id: 'PolledTasks',
    example: {
      tasks: [
        {
          task_id: TASK,
          lease_token: TOKEN,
          execution_id: RUN,
          action_id: 'shrink',
          attempt: 1,
          topic: 'thumbnails',
          input: { url: 'https://example.com/a.png' },
          deadline: WHEN,
          lease_expires_at: WHEN,
        },
      ],
    },
  });

const progress = z
  .strictObject({ percent: z.number().min(0).max(100).optional(), message: z.string().max(1_000).optional() })
  .meta({ example: { percent: 40, message: 'page 2 of 5' } });

const MAX_LINES = 100;
const MAX_LINE = 4_000;
const logs = z
  .array(
    z.strictObject({
      level: logLevel,
      message: z.string().min(1).max(MAX_LINE),
      at: z.iso.datetime({ offset: true }).optional().meta({
        description:
          'Time by the clock of the worker, within the time of the attempt; by default the time of the request',
      }),
      data: z.record(z.string(), json).optional().meta({ description: 'At most 8 KiB as JSON' }),
    }),
  )
  .max(MAX_LINES)
  .optional()
  .meta({
    description: 'Log lines, stored with the execution (`GET …/logs`) with secrets masked, like the log of any adapter',
    example: [{ level: 'info', message: 'page 2', data: { pages: 5 } }],
  });

export const heartbeatRequest = z
  .strictObject({
    lease_token: leaseToken,
    progress: progress.optional().meta({ description: 'Progress, shown with the task in the execution' }),
    extend_seconds: leaseSeconds.optional().meta({
      description: 'Extends the lease to this many seconds from now; by default as long as the lease was before',
    }),
    logs,
  })
  .meta({ id: 'HeartbeatTaskRequest', example: { lease_token: TOKEN, progress: { percent: 40 } } });

export const extendedLease = z
  .object({ task_id: text, lease_expires_at: time, deadline: time })
  .meta({ id: 'KeptLease', example: { task_id: TASK, lease_expires_at: WHEN, deadline: WHEN } });

export const completeRequest = z
  .strictObject({
    lease_token: leaseToken,
    output: anyJson.meta({ description: 'The output of the task: any JSON value' }),
    logs,
  })
  .meta({ id: 'CompleteTaskRequest', example: { lease_token: TOKEN, output: { width: 200 } } });

export const failRequest = z
  .strictObject({
    lease_token: leaseToken,
    error: z
      .union([
        z.string().min(1).max(16_000),
        z.strictObject({
          message: z.string().min(1).max(16_000),
          code: z
            .string()
            .regex(/^[a-z][a-z0-9_]{0,99}$/, 'must be snake_case')
            .optional()
            .meta({
              description: 'Error code, which `retry.non_retryable` of the action can name; adapter_failed by default',
            }),
        }),
      ])
      .meta({ example: 'the picture is broken' }),
    retryable: z
      .boolean()
      .default(true)
      .meta({ description: 'Whether another attempt may help; false: the task is not retried' }),
    logs,
  })
  .meta({ id: 'FailTaskRequest', example: { lease_token: TOKEN, error: 'the picture is broken', retryable: false } });

export type SentLogs = z.output<typeof logs>;

export const answeredTask = z
  .object({ task_id: text, execution_id: text, action_id: text, status: z.enum(['completed', 'failed']) })
  .meta({
    id: 'AnsweredTask',
    example: { task_id: TASK, execution_id: RUN, action_id: 'shrink', status: 'completed' },
  });

const OPEN_STATUSES = ['available', 'leased'] as const;
const integer = (min: number, max: number) => z.coerce.number<string>().int().min(min).max(max);

export const externalTasksQuery = z.object({
  topic: topic.optional(),
  status: z.enum(OPEN_STATUSES).optional(),
  page: integer(1, 10_000).default(1),
  page_size: integer(1, 200).default(50),
});

const shownProgress = z
  .object({ percent: z.number().optional(), message: text.optional() })
  .nullable()
  .meta({ description: 'As reported by the last heartbeat' });

export const externalTaskList = z
  .object({
    items: z.array(
      z.object({
        task_id: text,
        execution_id: text,
        action_id: text,
        attempt: z.int().min(1),
        topic: text,
        status: z.enum(OPEN_STATUSES),
        priority: z.int(),
        worker_id: text.nullable().meta({ description: 'The worker that leased it last' }),
        deliveries: count.meta({ description: 'How many times it was leased' }),
        lease_expires_at: time.nullable(),
        progress: shownProgress,
        created_at: time,
        deadline: time,
      }),
    ),
    page: count,
    page_size: count,
    total: count,
    pagination: z.looseObject({ total_pages: count }),
    topics: z.array(
      z.object({
        topic: text,
        available: count.meta({ description: 'Waiting for a worker' }),
        leased: count.meta({ description: 'Leased by a worker' }),
        oldest_waiting_seconds: z.number().min(0).nullable(),
      }),
    ),
  })
  .meta({
    id: 'ExternalTaskList',
    example: {
      items: [
        {
          ...{
            task_id: RUN,
            execution_id: RUN,
            action_id: 'review',
            attempt: 1,
            topic: 'reviews',
            status: 'available',
          },
          ...{ priority: 50, worker_id: null, deliveries: 0, lease_expires_at: null, progress: null },
          ...{ created_at: WHEN, deadline: WHEN },
        },
      ],
      ...{ page: 1, page_size: 50, total: 1, pagination: { total_pages: 1 } },
      topics: [{ topic: 'reviews', available: 1, leased: 0, oldest_waiting_seconds: 4 }],
    },
  });

/** In an execution, beside the task. */
export const externalTask = z
  .object({
    task_id: text,
    topic: text,
    status: z.enum([...OPEN_STATUSES, 'completed', 'failed', 'timed_out', 'closed']),
    worker_id: text.nullable(),
    deliveries: count,
    lease_expires_at: time.nullable(),
    deadline: time,
    progress: shownProgress,
  })
  .meta({ id: 'ExternalTask', description: 'The newest attempt, as external workers see it' });

export type ExternalTaskView = z.infer<typeof externalTask>;
