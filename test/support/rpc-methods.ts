/** Each RPC, and the operation of the HTTP API that does the same. */
import type { DescMethod } from '@bufbuild/protobuf';
import { FILES } from '../../src/features/grpc/router.ts';

/** `open`: needs no credentials. */
export const OPERATION_OF: Readonly<Record<string, string>> = {
  'orchestrator.health.v1.HealthService.Check': 'open',
  'orchestrator.health.v1.HealthService.Watch': 'open',
  'grpc.health.v1.Health.Check': 'open',
  'grpc.health.v1.Health.Watch': 'open',
  'orchestrator.info.v1.InfoService.GetInfo': 'getInfo',
  'orchestrator.v1.WorkflowService.ExecuteWorkflow': 'executeWorkflow',
  'orchestrator.v1.WorkflowService.GetWorkflowStatus': 'getExecution',
  'orchestrator.v1.WorkflowService.CancelWorkflow': 'cancelExecution',
  'orchestrator.v1.WorkflowService.SignalWorkflow': 'sendSignal',
  'orchestrator.v1.WorkflowService.StreamEvents': 'getExecutionEvents',
  'orchestrator.v1.ToolService.ListTools': 'listActionTypes',
  'orchestrator.v1.ToolService.ExecuteTool': 'assignTask',
  'orchestrator.v1.ToolService.GetToolStatus': 'getResult',
  'grpc.reflection.v1.ServerReflection.ServerReflectionInfo': 'getService',
  'grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo': 'getService',
};

export const METHODS: readonly DescMethod[] = FILES.flatMap(({ services }) => services).flatMap(
  ({ methods }) => methods,
);

export function nameOf(method: DescMethod): string {
  return `${method.parent.typeName}.${method.name}`;
}

/** A message that is complete, whatever the method: ids that are unknown, or `ids` where it has such fields. */
export function messageFor(method: DescMethod, ids: Readonly<Record<string, string>> = {}): Record<string, unknown> {
  const fields = method.input.fields.filter(({ name }) =>
    /^(?:workflow_id|execution_id|task_id|tool|name)$/.test(name),
  );
  return Object.fromEntries(fields.map(({ name, localName }) => [localName, ids[name] ?? 'x']));
}
