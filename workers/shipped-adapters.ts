/** The adapters of this service: what the catalogue lists, and what an isolated child can run. */
import type { Adapter } from './adapter.ts';
import { approval } from './adapters/approval.ts';
import { approveBatches } from './adapters/approve-batches.ts';
import { external } from './adapters/external.ts';
import { findService } from './adapters/find-service.ts';
import { httpRequest } from './adapters/http-request.ts';
import { listServices } from './adapters/list-services.ts';
import { notification } from './adapters/notification.ts';
import { pollOpenapi } from './adapters/poll-openapi.ts';
import { replayEvents } from './adapters/replay-events.ts';
import { runReport } from './adapters/run-report.ts';
import { serviceCall } from './adapters/service-call.ts';
import { signal } from './adapters/signal.ts';
import { storeDocument } from './adapters/store-document.ts';
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
  | 'sendsByFetchAlone'
> & {
  run(input: never, context: Parameters<Adapter['run']>[1]): Promise<unknown>;
};

export const SHIPPED_ADAPTERS: readonly AnyAdapter[] = [
  approval,
  approveBatches,
  external,
  findService,
  httpRequest,
  listServices,
  notification,
  pollOpenapi,
  replayEvents,
  runReport,
  serviceCall,
  signal,
  storeDocument,
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
