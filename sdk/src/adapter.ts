/** The shape of the user's own adapters, which is that of the service's in workers/adapter.ts as far as a worker outside has it. */

export interface AdapterResponse {
  status: number;
  /** Lower-case names. */
  headers: Record<string, string>;
  text(): Promise<string>;
  body: AsyncIterable<Uint8Array> | undefined;
}

export interface WorkerContext {
  /** Aborted when the lease is lost, when the execution was cancelled, at the deadline, and when the worker's grace is over. */
  signal: AbortSignal;
  /** Stored with the execution. */
  log: Record<'debug' | 'info' | 'warn' | 'error', (message: string, data?: object) => void>;
  /** `<execution>.<action>`: the same for every attempt; send it on to services. */
  idempotencyKey: string;
  attempt: number;
  run: { id: string; actionId: string };
  /** Of this attempt. */
  taskId: string;
  /** Carries the idempotency key, and ends with the task. */
  fetch(
    url: string,
    init?: { method?: string; headers?: Record<string, string>; body?: string; signal?: AbortSignal },
  ): Promise<AdapterResponse>;
  /** How far it is, 0 to 100; the latest counts. */
  progress(percent: number, message?: string): void;
  /** A sign of life without news. */
  heartbeat(): void;
  now(): Date;
}

/** Checks a value and hands it back; a schema of zod is one. */
export interface Parser<Value> {
  parse(value: unknown): Value;
}

/** As the adapters of the service itself are written: `type` is the topic, `config` and `output` check what goes in and out. */
export interface WorkerAdapter<Config = unknown, Output = unknown> {
  type: string;
  description?: string;
  config?: Parser<Config>;
  output?: Parser<Output>;
  run(input: Config, context: WorkerContext): Promise<Output> | Output;
}

/** An adapter of any shape: `run` gets only what its own `config` has parsed. */
export type AnyAdapter = Omit<WorkerAdapter, 'run'> & {
  run(input: never, context: WorkerContext): unknown;
};

export function defineAdapter<Config, Output>(adapter: WorkerAdapter<Config, Output>): WorkerAdapter<Config, Output> {
  return adapter;
}

/** The attempt failed and another may succeed. */
export class RetryableError extends Error {
  override readonly name: string = 'RetryableError';
  readonly code: string | undefined;
  constructor(message: string, options: { code?: string; cause?: unknown } = {}) {
    super(message, options);
    this.code = options.code;
  }
}

/** Trying again cannot help. */
export class NonRetryableError extends RetryableError {
  override readonly name = 'NonRetryableError';
}
