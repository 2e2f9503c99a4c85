/** The client: every operation by its name, and what takes more than one request. */
import { type EventsOptions, type StreamedEvent, streamEvents } from './events.ts';
import { type Api, createApi } from './operations.ts';
import type { ClientOptions } from './request.ts';
import { createWorkflows, executionHandle, type RunHandle, type Workflows } from './runs.ts';

export interface Client {
  readonly options: ClientOptions;
  /** Every operation of the OpenAPI document, by its `operationId`. */
  readonly api: Api;
  readonly workflows: Workflows;
  readonly executions: {
    /** An execution, or a single task, that exists. */
    of<Output = unknown>(id: string): RunHandle<Output>;
    /** Its events until it has ended, resumed by `Last-Event-ID` wherever a connection breaks. */
    events(id: string, options?: EventsOptions): AsyncGenerator<StreamedEvent, void, undefined>;
  };
}

export function createClient(options: ClientOptions): Client {
  const api = createApi(options);
  return {
    options,
    api,
    workflows: createWorkflows(options, api),
    executions: {
      of: (id) => executionHandle(options, api, id),
      events: (id, eventsOptions) => streamEvents(options, id, eventsOptions),
    },
  };
}
