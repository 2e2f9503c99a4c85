/** The adapters that belong to no feature. An isolated child can run these alone. */
import type { Adapter } from './adapter.ts';
import { approveBatches } from './adapters/approve-batches.ts';
import { findService } from './adapters/find-service.ts';
import { httpRequest } from './adapters/http-request.ts';
import { notification } from './adapters/notification.ts';
import { serviceCall } from './adapters/service-call.ts';
import { signal } from './adapters/signal.ts';
import { testFault, testFaultIsolated } from './adapters/test-fault.ts';
import { testTask } from './adapters/test-task.ts';
import { transform } from './adapters/transform.ts';
import { wait } from './adapters/wait.ts';
import { workflow } from './adapters/workflow.ts';

/** An adapter of any shape. `run` gets only what its own `config` schema has parsed. */
export type AnyAdapter = Pick<
  Adapter,
  | 'type'
  | 'description'
  | 'config'
  | 'output'
  | 'literal'
  | 'jsonSchemas'
  | 'conditions'
  | 'aliases'
  | 'isolated'
  | 'idempotent'
  | 'usesEngine'
  | 'secretFields'
  | 'permission'
  | 'sendsByFetchAlone'
> & {
  run(input: never, context: Parameters<Adapter['run']>[1]): Promise<unknown>;
};

export const SHIPPED_ADAPTERS: readonly AnyAdapter[] = [
  approveBatches,
  findService,
  httpRequest,
  notification,
  serviceCall,
  signal,
  testTask,
  transform,
  wait,
  workflow,
];

/** These end and block processes: nobody may reach them but a test. */
const TEST_ADAPTERS: readonly AnyAdapter[] = [testFault, testFaultIsolated];

export function adaptersFor(options: { underTest: boolean }): readonly AnyAdapter[] {
  return options.underTest ? [...SHIPPED_ADAPTERS, ...TEST_ADAPTERS] : SHIPPED_ADAPTERS;
}
