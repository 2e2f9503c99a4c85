/** The SDK: a client, definitions in code, and a worker. `testWorkflow` is an entry of its own, `…/testing`. */
export {
  type AdapterResponse,
  type AnyAdapter,
  defineAdapter,
  NonRetryableError,
  type Parser,
  RetryableError,
  type WorkerAdapter,
  type WorkerContext,
} from './adapter.ts';
export { ApiError, ConnectionError, ExecutionFailedError } from './api-error.ts';
export { type Client, createClient } from './client.ts';
export {
  type ActionHandle,
  type ActionOptions,
  type ActionType,
  type DefinedWorkflow,
  defineWorkflow,
  type ParametersOf,
} from './define-workflow.ts';
export type { EventsOptions, StreamedEvent } from './events.ts';
export type { ActionShapes } from './generated/actions.ts';
export * from './generated/errors.ts';
export type * as types from './generated/types.ts';
export type { AnswerOf, Api, InputOf, OperationName } from './operations.ts';
export { cel, type Reference, type Templated } from './references.ts';
export type { ClientOptions, RequestOptions } from './request.ts';
export type { ResultOptions, RunHandle, RunOptions, Workflows, WorkflowTarget } from './runs.ts';
export { createWorker, type Worker, type WorkerOptions } from './worker.ts';
