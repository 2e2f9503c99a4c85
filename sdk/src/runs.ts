/** Starts workflows by name, and waits for what becomes of them. */
import { ExecutionFailedError } from './api-error.ts';
import { type EventsOptions, type StreamedEvent, streamEvents } from './events.ts';
import { NotFoundError } from './generated/errors.ts';
import type { AcceptedExecution, CancelledExecution, ExecuteRequest, Execution } from './generated/types.ts';
import type { Api } from './operations.ts';
import { type ClientOptions, either, isPassing, newKey, type RequestOptions } from './request.ts';
import { backoff, sleep } from './wait.ts';

/** A workflow by its name (or its id, where that is a UUID), by its id alone, or as `defineWorkflow` made it. */
export type WorkflowTarget<Parameters, Output> =
  | string
  | { id: string }
  | { name: string; readonly types?: { parameters: Parameters; output: Output } };

export interface RunOptions
  extends RequestOptions,
    Omit<ExecuteRequest, 'parameters' | 'dry_run' | 'idempotency_key'> {}

export interface ResultOptions extends RequestOptions {
  /** After so long it rejects; the execution goes on. */
  timeoutSeconds?: number | undefined;
}

export interface RunHandle<Output = unknown> {
  /** When the service has accepted it. */
  id(): Promise<string>;
  /** The output, once it has completed; rejects with ExecutionFailedError when it ended otherwise. */
  result(options?: ResultOptions): Promise<Output>;
  /** The execution, once it has ended in whatever way. */
  ended(options?: ResultOptions): Promise<Execution>;
  get(options?: RequestOptions): Promise<Execution>;
  events(options?: EventsOptions): AsyncGenerator<StreamedEvent, void, undefined>;
  cancel(reason?: string, options?: RequestOptions): Promise<CancelledExecution>;
}

/** Longer than a request is answered by any proxy. */
const WAIT_SECONDS = 20;
const OUTAGE_MS = 600_000;
const PAGE_SIZE = 200;
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;
const OPEN: ReadonlySet<string> = new Set(['pending', 'running']);

export interface Workflows {
  /** Starts it. Nothing is thrown here: what is wrong rejects what is asked of the handle. */
  run<Parameters extends object = Record<string, unknown>, Output = unknown>(
    workflow: WorkflowTarget<Parameters, Output>,
    parameters?: Parameters,
    options?: RunOptions,
  ): RunHandle<Output>;
  /** The id of the workflow with exactly this name. */
  idOf(name: string, options?: RequestOptions): Promise<string>;
}

export function createWorkflows(client: ClientOptions, api: Api): Workflows {
  const ids = new Map<string, string>();

  async function idOf(name: string, options: RequestOptions = {}): Promise<string> {
    const known = ids.get(name);
    if (known !== undefined) return known;
    const found: string[] = [];
    for (let page = 1; ; page += 1) {
      const { items } = await api.listWorkflows({ name, page, page_size: PAGE_SIZE }, options);
      for (const one of items) if (one.name === name && one.status !== 'archived') found.push(one.workflow_id);
      if (items.length < PAGE_SIZE) break;
    }
    const [id] = found;
    if (id === undefined)
      throw new NotFoundError(404, { code: 'not_found', detail: `No workflow is called '${name}'` });
    if (found.length > 1) throw new Error(`${found.length} workflows are called '${name}': ${found.join(', ')}`);
    ids.set(name, id);
    return id;
  }

  async function targetId(target: WorkflowTarget<unknown, unknown>, options: RequestOptions): Promise<string> {
    if (typeof target === 'string') return UUID.test(target) ? target : idOf(target, options);
    return 'id' in target ? target.id : idOf(target.name, options);
  }

  async function start(target: WorkflowTarget<unknown, unknown>, parameters: object, options: RunOptions) {
    const { version, priority, delay_seconds, correlation_id, callback_url, ...request } = options;
    const body = { parameters: { ...parameters }, version, priority, delay_seconds, correlation_id, callback_url };
    const { signal, user, headers } = request;
    const workflow_id = await targetId(target, { signal, user, headers });
    // Made once: what is sent again, from here too, starts nothing new.
    const idempotencyKey = request.idempotencyKey ?? newKey();
    const input = { workflow_id, body: JSON.parse(JSON.stringify(body)) as ExecuteRequest }; // Without what is undefined.
    return (await api.executeWorkflow(input, { ...request, idempotencyKey })) as AcceptedExecution; // It is no dry run.
  }

  return {
    idOf,
    run: (workflow, parameters, options = {}) =>
      handleOf(client, api, start(workflow, parameters ?? {}, options), options.signal),
  };
}

/** Of an execution that exists. */
export function executionHandle<Output>(client: ClientOptions, api: Api, id: string): RunHandle<Output> {
  return handleOf(client, api, { execution_id: id }, undefined);
}

function handleOf<Output>(
  client: ClientOptions,
  api: Api,
  started: Promise<AcceptedExecution> | { execution_id: string },
  runSignal: AbortSignal | undefined,
): RunHandle<Output> {
  const whenStarted = Promise.resolve(started);
  // Whoever asks the handle learns it; nobody may.
  whenStarted.catch(() => undefined);
  const id = async () => (await whenStarted).execution_id;
  const inTime = <Options extends RequestOptions>(options: Options) => ({
    ...options,
    signal: either(options.signal, runSignal),
  });

  async function ended(options: ResultOptions = {}): Promise<Execution> {
    const { timeoutSeconds = Number.POSITIVE_INFINITY, ...request } = inTime(options);
    const execution_id = await id();
    await untilEnded(client, api, execution_id, { ...request, timeoutSeconds });
    return api.getExecution({ execution_id }, request);
  }

  return {
    id,
    ended,
    async result(options) {
      const execution = await ended(options);
      if (execution.status !== 'completed') throw new ExecutionFailedError(execution);
      return execution.output as Output; // As the definition declares it.
    },
    get: async (options = {}) => api.getExecution({ execution_id: await id() }, inTime(options)),
    async *events(options = {}) {
      yield* streamEvents(client, await id(), inTime(options));
    },
    cancel: async (reason, options = {}) =>
      api.cancelExecution({ execution_id: await id(), body: reason === undefined ? {} : { reason } }, options),
  };
}

/** Waits over restarts of the service, as long as those may take. */
async function untilEnded(client: ClientOptions, api: Api, id: string, options: ResultOptions): Promise<void> {
  const { timeoutSeconds = Number.POSITIVE_INFINITY, ...request } = options;
  const until = Date.now() + timeoutSeconds * 1_000;
  let reachedAt = Date.now();
  for (let failures = 0; ; ) {
    const wait = Math.min(WAIT_SECONDS, Math.max(0, (until - Date.now()) / 1_000));
    try {
      const { status } = await api.getResult(
        { task_id: id, wait: Math.round(wait * 100) / 100 },
        { ...request, maxAttempts: 1 },
      );
      if (!OPEN.has(status)) return;
      reachedAt = Date.now();
      failures = 0;
    } catch (error) {
      if (!isPassing(error) || Date.now() - reachedAt > (client.outageMs ?? OUTAGE_MS)) throw error;
      failures += 1;
      await sleep(backoff(failures), either(request.signal, client.signal));
    }
    if (Date.now() >= until) throw new Error(`Execution ${id} has not ended within ${timeoutSeconds} s`);
  }
}
