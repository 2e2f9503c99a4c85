/** `ToolService`: the action types, and single tasks of them. */
import type { ConnectRouter } from '@connectrpc/connect';
import { actionTypeList, assignedTask, taskResult } from '../../schemas/answers.ts';
import { head, part, replayed, requestHeaders, timeOf } from './answers.ts';
import { ToolService } from './generated/orchestrator_pb.ts';
import type { HttpCalls } from './http-calls.ts';
import { jsonOf, jsonText, objectText, unlessZero, valueOfJson } from './json-values.ts';

export function toolService(router: ConnectRouter, calls: HttpCalls): void {
  router.service(ToolService, {
    async listTools(request, context) {
      const headers = requestHeaders(request);
      const answer = await calls.send(context, { method: 'GET', path: '/action-types', headers });
      const { items } = actionTypeList.parse(JSON.parse(answer.text));
      return {
        ...head(answer),
        tools: items.map((item) => ({
          name: item.action_type,
          description: item.description,
          aliases: item.aliases,
          idempotent: item.idempotent,
          configSchema: valueOfJson(item.config_schema),
          configSchemaJson: jsonOf(item.config_schema),
          outputSchema: valueOfJson(item.output_schema),
          outputSchemaJson: jsonOf(item.output_schema),
        })),
      };
    },

    async executeTool(request, context) {
      const answer = await calls.send(context, {
        method: 'POST',
        path: '/assign-task',
        headers: requestHeaders(request),
        body: objectText({
          task_type: JSON.stringify(request.tool),
          params: jsonText('params', request.params, request.paramsJson),
          priority: unlessZero(request.priority),
          delay_seconds: unlessZero(request.delaySeconds),
          max_attempts: unlessZero(request.maxAttempts),
          timeout_seconds: unlessZero(request.timeoutSeconds),
          correlation_id: unlessZero(request.correlationId),
          callback_url: unlessZero(request.callbackUrl),
        }),
      });
      const task = assignedTask.parse(JSON.parse(answer.text));
      return {
        ...head(answer, task.message),
        taskId: task.task_id,
        status: task.status,
        createdAt: timeOf(task.timestamp),
        replayed: replayed(answer),
      };
    },

    async getToolStatus(request, context) {
      const wait = request.waitSeconds === 0 ? '' : `?wait=${request.waitSeconds}`;
      const answer = await calls.send(context, {
        method: 'GET',
        path: `/result/${part('task_id', request.taskId)}${wait}`,
        headers: requestHeaders({ requestId: request.requestId }),
      });
      const task = taskResult.parse(JSON.parse(answer.text));
      return {
        ...head(answer),
        taskId: task.task_id,
        status: task.status,
        result: valueOfJson(task.result),
        resultJson: jsonOf(task.result),
        error: task.error ?? '',
        attempts: task.attempts,
        updatedAt: timeOf(task.timestamp),
      };
    },
  });
}
