/**
 * The canonical definition: what a version stores and everything behind the border works on. Every default is filled
 * in, `depends_on` also holds the dependencies that only a template names, older spellings are gone.
 * `normalise.ts` makes it from what a client sent.
 */
import type { Json, JsonObject } from '../../schemas/json.ts';

export interface Definition {
  name: string;
  description?: string;
  /** The client's own version label; ours is the number of the version. */
  version?: string;
  tags: string[];
  parameters: Parameter[];
  actions: Action[];
  /** A template; without it a run's output is `{<action_id>: output}` of the sink actions. */
  output?: Json;
  /** Of a whole run, from its acceptance (after its delay) or its manual retry; none: it may take for ever. */
  timeout_seconds?: number;
  /** Within the window the same key starts no second run. */
  dedupe?: Dedupe;
  /** Of the runs with one key only so many are under way at a time. */
  concurrency?: Concurrency;
  /** Events from outside that start it. */
  triggers?: Trigger[];
  /** Ended runs are removed after so many days, whatever the setting of the service says. */
  retention_days?: number;
  /** The client's own; stored and shown, never read. */
  metadata?: JsonObject;
}

export interface Trigger {
  /** The type of an event; a star at its end stands for anything. */
  event: string;
  source?: string;
  /** CEL over `event`. */
  filter?: string;
  /** Templates over `event`. */
  parameters?: JsonObject;
  correlation_key?: string;
}

export interface Concurrency {
  /** A template over the parameters and what is known of a run before it is accepted. */
  key: string;
  limit: number;
  /** What becomes of a run for which there is no slot: it waits, it is rejected, or the oldest make room. */
  policy: 'queue' | 'reject' | 'replace';
}

export interface Dedupe {
  /** A template over the parameters and what is known of a run before it is accepted. */
  key: string;
  window_seconds: number;
  policy: 'reject' | 'return_existing';
}

export interface Parameter {
  name: string;
  type: 'string' | 'integer' | 'number' | 'boolean' | 'object' | 'array';
  description?: string;
  required: boolean;
  default?: Json;
  enum?: Json[];
  min_length?: number;
  max_length?: number;
  pattern?: string;
}

export type RunIf = 'all_succeeded' | 'all_done' | 'any_succeeded';

export interface Action {
  action_id: string;
  action_type: string;
  name?: string;
  description?: string;
  /** May hold templates; a string is one template that gives the whole object. */
  config: Json;
  depends_on: string[];
  /** CEL; false skips the action. */
  when?: string;
  run_if: RunIf;
  retry: RetryPolicy;
  timeout_seconds: number;
  /** The adapter reports at least this often, or the attempt fails. */
  heartbeat_timeout_seconds?: number;
  delay_seconds?: number;
  /** 1 (first) to 100; the run's own when left out. */
  priority?: number;
  /** `compensate` is `fail` in a workflow that has something to compensate. */
  on_failure: 'fail' | 'continue' | 'compensate';
  compensate?: Compensation;
  for_each?: ForEach;
  repeat?: Repeat;
  idempotent?: boolean;
  /** The output of an earlier run with the same key stands in, for that long after its commit. */
  cache?: { key: string; ttl_seconds: number };
  metadata?: JsonObject;
}

/** The action is run once for every item of a list. */
export interface ForEach {
  /** A list (templates in it), one template that gives a list, or CEL, which is a text without templates. */
  items: Json;
  /** Items under way at the same time; all of them when left out. */
  max_parallel?: number;
  on_item_failure: 'fail' | 'continue';
}

/** How a completed action is compensated when its run fails or is cancelled. */
export interface Compensation {
  action_type: string;
  /** May hold templates, of the action's own output too. */
  config: Json;
  retry: RetryPolicy;
  timeout_seconds: number;
}

/** The action is run again and again until the condition holds. */
export interface Repeat {
  /** CEL, which also sees `output` and `iteration` of the iteration that has just ended. */
  until: string;
  max_iterations: number;
  /** Between the end of one iteration and the start of the next. */
  delay_seconds?: number;
}

export interface RetryPolicy {
  /** All tries, the first included. */
  max_attempts: number;
  backoff: 'exponential' | 'fixed' | 'linear';
  initial_delay_seconds: number;
  /** What each delay of exponential backoff is of the one before it. */
  multiplier?: number;
  max_delay_seconds: number;
  /** 0..1: the share of the delay that chance may take away. */
  jitter: number;
  /** Error codes that are not tried again. */
  non_retryable: string[];
}

export const DEFAULT_TIMEOUT_SECONDS = 300;
export const DEFAULT_RETRY: RetryPolicy = {
  max_attempts: 4,
  backoff: 'exponential',
  initial_delay_seconds: 2,
  multiplier: 2,
  max_delay_seconds: 300,
  jitter: 0,
  non_retryable: [],
};
/** What an action gets that does not say. */
export interface ActionDefaults {
  timeout_seconds: number;
  retry: RetryPolicy;
}
export const ACTION_DEFAULTS: ActionDefaults = { timeout_seconds: DEFAULT_TIMEOUT_SECONDS, retry: DEFAULT_RETRY };
