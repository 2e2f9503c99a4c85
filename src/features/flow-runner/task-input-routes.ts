/** Claim check: the inputs of a task whose message was too large to have them. */
import { z } from 'zod';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { ReadTaskInputs } from './ports.ts';

const UNKNOWN = 'Task not found';

export const getTaskInputs = operation({
  id: 'getTaskInputs',
  permission: 'tasks:work',
  tag: 'Tasks',
  method: 'get',
  path: '/v1/tasks/{run_id}/{task_id}/inputs',
  summary: 'Get the inputs of a published task',
  description:
    'Messages that would be larger than KAFKA_MAX_MESSAGE_BYTES carry this address as `inputs_ref` instead of `inputs`.',
  query: z.object({
    attempt: z.coerce
      .number()
      .int()
      .min(0)
      .max(2_147_483_646)
      .optional()
      .meta({ description: 'As in the message, from 0; the newest when left out' }),
  }),
  notFound: UNKNOWN,
  answers: {
    200: {
      description: 'The inputs',
      schema: z
        .object({
          run_id: z.string(),
          task_id: z.string(),
          handler: z.string(),
          attempt: z.int(),
          inputs: z.unknown(),
          execution_context: z.unknown(),
        })
        .meta({
          id: 'FlowTaskInputs',
          example: {
            run_id: 'c9a1f6d2-4f0e-4f63-9f6e-0d0f7a1f2b3c',
            task_id: 'resize',
            handler: 'image-resizer',
            attempt: 0,
            inputs: { url: 'https://example.com/large.png' },
            execution_context: {},
          },
        }),
    },
  },
});

interface Needs {
  taskInputs: ReadTaskInputs;
}

export const taskInputRoutes = endpoints([getTaskInputs], serve);

function serve(routes: Routes, { taskInputs }: Needs): void {
  routes.serve(getTaskInputs, async ({ params, query, caller, response }) => {
    const runId = params['run_id'] ?? '';
    const taskId = params['task_id'] ?? '';
    const found = await taskInputs(caller.tenantId, runId, taskId, query.attempt);
    if (found === undefined) throw notFound(UNKNOWN);
    const { handler, attempt, inputs, executionContext } = found;
    sendJson(response, 200, {
      run_id: runId,
      task_id: taskId,
      handler,
      attempt,
      inputs,
      execution_context: executionContext,
    });
  });
}
