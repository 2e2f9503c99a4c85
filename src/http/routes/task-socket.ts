/** `WS /ws/task/{task_id}` as the OpenAPI document describes it; task-sockets.ts serves it. */
import { RUN } from '../../schemas/answer-shapes.ts';
import { taskMessage } from '../../schemas/task-messages.ts';
import type { Socket } from '../server/openapi-sockets.ts';
import { MAX_ID_LENGTH } from '../server/operation.ts';

/** Close codes; those of the private range end in the status of HTTP. */
export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  internal: 1011,
  tryAgainLater: 1013,
  unauthorized: 4401,
  notFound: 4404,
} as const;

export const taskSocket: Socket = {
  id: 'followTask',
  permission: 'executions:read',
  tag: 'Tasks',
  path: '/ws/task/{task_id}',
  summary: 'Follow a task by WebSocket',
  description:
    'A message with the state of the task is sent at once, with every change, and at least every two seconds; the last one has `final: true`. What the task streams is sent in between, with `event`. A browser, which cannot set headers, sends its token as a subprotocol: `bearer`, then the token. Also accepts the id of an execution. Rejected requests get a response without a body.',
  messages: taskMessage,
  closes: {
    [CLOSE.normal]: 'The task has ended',
    [CLOSE.goingAway]: 'The service is stopping: connect again',
    [CLOSE.internal]: 'An unexpected error occurred',
    [CLOSE.tryAgainLater]: 'Too many readers are connected',
    [CLOSE.unauthorized]: 'The credentials have expired',
    [CLOSE.notFound]: 'Task not found',
  },
  rejections: [400, 401, 403, 404, 429, 503],
  parameters: [
    { in: 'path', name: 'task_id', required: true, schema: { type: 'string', maxLength: MAX_ID_LENGTH }, example: RUN },
    {
      in: 'header',
      name: 'Sec-WebSocket-Protocol',
      description: '`bearer, <token>`, of a client that cannot send `Authorization`',
      schema: { type: 'string' },
    },
  ],
};
