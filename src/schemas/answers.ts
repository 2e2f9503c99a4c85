/** Responses of the API about tasks, about itself and for errors. The OpenAPI document is made from these. */
import { z } from 'zod';
import { count, fieldFault, itemError, object, RUN, text, time, WHEN } from './answer-shapes.ts';

export const problem = z
  .object({
    type: text,
    title: text,
    status: z.int(),
    detail: text,
    instance: text,
    code: text,
    errors: z.array(fieldFault).optional(),
    execution_id: text
      .optional()
      .meta({ description: 'The conflicting execution, or the one that was started for the request' }),
    links: z.object({ execution: text }).optional().meta({ description: 'Links to that execution' }),
    trace_id: text,
    message: text.meta({ description: 'Same as detail' }),
    error_code: text.meta({ description: 'Same as code' }),
  })
  .meta({
    id: 'Problem',
    example: {
      type: 'urn:orchestrator:problem:not_found',
      title: 'Not found',
      status: 404,
      detail: 'Task not found',
      instance: '/result/unknown',
      code: 'not_found',
      trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
      message: 'Task not found',
      error_code: 'not_found',
    },
  });

export const assignedTask = z
  .object({ task_id: text, status: z.literal('assigned'), message: text, timestamp: time })
  .meta({
    id: 'AssignedTask',
    example: {
      task_id: RUN,
      status: 'assigned',
      message: "Task 'approve_batches' successfully assigned",
      timestamp: WHEN,
    },
  });

export const assignedTasks = z
  .object({
    items: z.array(
      z.union([
        z.object({ index: count, task_id: text, status: z.literal('assigned') }),
        z.object({ index: count, error: itemError }),
      ]),
    ),
  })
  .meta({ id: 'AssignedTasks', example: { items: [{ index: 0, task_id: RUN, status: 'assigned' }] } });

export const taskResult = z
  .object({
    task_id: text,
    status: z.enum(['pending', 'running', 'completed', 'failed', 'cancelled']),
    result: object.optional().meta({ description: 'Only for a completed task' }),
    error: text.optional().meta({ description: 'Only for a failed or cancelled task' }),
    attempts: count,
    timestamp: time.meta({ description: 'When the state of the task last changed' }),
  })
  .meta({
    id: 'TaskResult',
    example: {
      task_id: RUN,
      status: 'completed',
      result: { processed_batches: 3, approved: 2, rejected: 1 },
      attempts: 1,
      timestamp: WHEN,
    },
  });

export const availableTasks = z
  .object({ available_tasks: z.array(text) })
  .meta({ id: 'AvailableTasks', example: { available_tasks: ['approve_batches', 'test_task'] } });

export const actionTypeList = z
  .object({
    items: z.array(
      z.object({
        action_type: text,
        description: text,
        aliases: z.array(text),
        idempotent: z.boolean().meta({
          description:
            'Whether another execution changes nothing outside; an action can override this with `idempotent`',
        }),
        config_schema: object,
        output_schema: object,
      }),
    ),
    total: count,
  })
  .meta({
    id: 'ActionTypes',
    example: {
      items: [
        {
          action_type: 'test_task',
          description: 'Returns its input',
          aliases: [],
          idempotent: true,
          config_schema: { type: 'object' },
          output_schema: { type: 'object' },
        },
      ],
      total: 1,
    },
  });

const connection = z.enum(['connected', 'disconnected', 'not_configured']);
export const serviceInformation = z
  .object({ message: text, service: text, status: text, version: text, timestamp: time, links: z.record(text, text) })
  .meta({
    id: 'Service',
    example: {
      message: 'AI Agent Orchestrator Service',
      service: 'orchestrator_service',
      status: 'running',
      version: '0.1.0',
      timestamp: WHEN,
      links: { docs: '/docs', health: '/health' },
    },
  });
export const healthAnswer = z
  .object({
    status: z.enum(['healthy', 'degraded', 'unhealthy']),
    service: text,
    version: text,
    redis: connection,
    database: connection,
    problems: z.array(text).meta({ description: 'Names of problems as in docs/diagnosis.md' }),
    timestamp: time,
  })
  .meta({
    id: 'Health',
    example: {
      status: 'healthy',
      service: 'orchestrator',
      version: '0.1.0',
      redis: 'connected',
      database: 'connected',
      problems: [],
      timestamp: WHEN,
    },
  });
export const livenessAnswer = z
  .object({ status: z.literal('alive'), service: text, timestamp: time })
  .meta({ id: 'Liveness', example: { status: 'alive', service: 'orchestrator', timestamp: WHEN } });
export const readinessAnswer = z
  .object({
    ready: z.boolean(),
    status: z.enum(['ready', 'starting', 'unusable']),
    service: text,
    checks: z.record(text, connection),
    problem: z
      .object({ code: text, class: text, message: text })
      .optional()
      .meta({ description: 'Why it is unusable' }),
  })
  .meta({
    id: 'Readiness',
    example: {
      ready: true,
      status: 'ready',
      service: 'orchestrator',
      checks: { database: 'connected', redis: 'connected' },
    },
  });
export const informationAnswer = z
  .object({
    service: text,
    version: text,
    description: text,
    capabilities: z.array(text),
    routes_count: count,
    uptime_seconds: z.number(),
    build_time: time.optional().meta({ description: 'When the build was made, if it says so' }),
    commit_sha: text.optional().meta({ description: 'The commit that it was built from, if it says so' }),
  })
  .meta({
    id: 'Information',
    example: {
      service: 'orchestrator',
      version: '0.1.0',
      description: 'A durable workflow orchestrator',
      capabilities: ['tasks', 'workflows'],
      routes_count: 171,
      uptime_seconds: 3600,
    },
  });

export type Problem = z.infer<typeof problem>;
export type TaskResult = z.infer<typeof taskResult>;
