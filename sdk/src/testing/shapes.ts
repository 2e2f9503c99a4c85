/** What `testWorkflow` takes and gives. */

export interface MockContext {
  actionId: string;
  /** 1 for the first try. */
  attempt: number;
  idempotencyKey: string;
  /** Virtual. */
  now(): Date;
  /** Takes so much of the virtual time: past `timeout_seconds` the attempt fails with `timeout`. */
  sleep(ms: number): void;
}

/** The output of an action, or what makes it of the input. What it throws fails the attempt, for good if `retryable` is false. */
// biome-ignore lint/suspicious/noExplicitAny: an input has the shape that the definition gives it.
export type Mock = ((input: any, context: MockContext) => unknown) | string | number | boolean | null | object;

export interface TestOptions {
  parameters?: Readonly<Record<string, unknown>>;
  /** By `action_id`, by the id of a compensation (`<action_id>~undo`), or by action type. `transform` and `wait` need none. */
  mocks?: Readonly<Record<string, Mock>>;
  /** When the run starts: 2030-01-01T00:00:00Z unless said. */
  now?: Date | string;
}

export interface TestFailure {
  code: string;
  message: string;
}

export interface TestTask {
  status: 'completed' | 'failed' | 'skipped' | 'upstream_failed' | 'cancelled';
  output: unknown;
  error: TestFailure | undefined;
  /** Attempts that were made. */
  attempts: number;
  startedAt: Date | undefined;
  endedAt: Date;
  /** Of `for_each` and `repeat`. */
  parts?: Array<{ status: TestTask['status']; attempts: number; output: unknown }>;
  compensation?: { status: TestTask['status']; output: unknown; attempts: number; error: TestFailure | undefined };
}

export interface TestRun {
  status: 'completed' | 'failed' | 'compensated' | 'compensation_failed';
  /** Null unless it completed. */
  output: unknown;
  tasks: Record<string, TestTask>;
  startedAt: Date;
  /** After the virtual time that waits, retries and mocks took. */
  endedAt: Date;
}

/** Rejects what the service would reject: a definition that cannot work, parameters that do not fit. */
export type TestWorkflow = (definition: object, options?: TestOptions) => Promise<TestRun>;
