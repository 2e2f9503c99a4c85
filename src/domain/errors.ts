/** The catalogue of errors: code -> HTTP status, title, and whether trying again can help. docs/errors.md explains each. */
const CATALOGUE = {
  // The API.
  invalid_request: { status: 400, title: 'The request is not valid', retryable: false },
  parameter_validation_failed: { status: 400, title: 'The parameters are not valid', retryable: false },
  malformed_json: { status: 400, title: 'The body is not JSON', retryable: false },
  login_failed: { status: 400, title: 'The login failed', retryable: false },
  unauthorized: { status: 401, title: 'Credentials are missing or wrong', retryable: false },
  forbidden: { status: 403, title: 'Not allowed', retryable: false },
  policy_denied: { status: 403, title: 'The policy denies this', retryable: false },
  unknown_handler: { status: 400, title: 'A handler of the flow is not known', retryable: false },
  not_found: { status: 404, title: 'Not found', retryable: false },
  unknown_flow: { status: 404, title: 'There is no such flow', retryable: false },
  method_not_allowed: { status: 405, title: 'Method not allowed', retryable: false },
  conflict: { status: 409, title: 'Conflict with the present state', retryable: false },
  idempotency_conflict: { status: 409, title: 'The idempotency key was used with another body', retryable: false },
  run_id_conflict: { status: 409, title: 'Another request has this run id', retryable: false },
  duplicate_run: { status: 409, title: 'There is such an execution already', retryable: false },
  concurrency_limit: { status: 409, title: 'As many executions as may are under way', retryable: true },
  workflow_paused: { status: 409, title: 'The workflow is not active', retryable: false },
  already_final: { status: 409, title: 'The run has already ended', retryable: false },
  not_retryable: { status: 409, title: 'The run cannot be retried', retryable: false },
  lease_lost: { status: 409, title: 'The lease of the task is over', retryable: false },
  run_cancelled: { status: 409, title: 'The run was cancelled or has ended', retryable: false },
  already_decided: { status: 409, title: 'Already decided', retryable: false },
  not_waiting: { status: 409, title: 'Nothing waits for this yet', retryable: false },
  links_not_configured: { status: 409, title: 'Links cannot be signed', retryable: false },
  secrets_not_configured: { status: 409, title: 'Secrets cannot be kept', retryable: false },
  link_over: { status: 410, title: 'The link was used or its time is over', retryable: false },
  active_runs: { status: 409, title: 'Runs are still active', retryable: false },
  precondition_failed: { status: 412, title: 'If-Match does not match', retryable: false },
  payload_too_large: { status: 413, title: 'The body is too large', retryable: false },
  uri_too_long: { status: 414, title: 'The address is too long', retryable: false },
  unsupported_media_type: { status: 415, title: 'The body must be JSON', retryable: false },
  definition_invalid: { status: 422, title: 'The definition cannot work', retryable: false },
  unknown_task_type: { status: 422, title: 'Unknown task type', retryable: false },
  unknown_action: { status: 422, title: 'Unknown action', retryable: false },
  rate_limited: { status: 429, title: 'Too many requests', retryable: true },
  too_many_queued: { status: 429, title: 'Too many executions wait', retryable: true },
  too_many_live: { status: 429, title: 'Too many executions have not ended', retryable: true },
  queue_full: { status: 429, title: 'The queue is nearly full', retryable: true },
  internal: { status: 500, title: 'Internal error', retryable: true },
  upstream_unavailable: { status: 502, title: 'A service that is needed is not available', retryable: true },
  still_running: { status: 504, title: 'The execution takes longer than the request may', retryable: true },
  database_not_usable: { status: 503, title: 'Tasks cannot be committed on the database', retryable: true },
  unavailable: { status: 503, title: 'Not available at the moment', retryable: true },
  policy_unavailable: { status: 503, title: 'The policy engine does not decide', retryable: true },
  overloaded: { status: 503, title: 'Too many requests at the same time', retryable: true },
  // The end of a task or of an attempt.
  adapter_failed: { status: 500, title: 'The adapter failed', retryable: true },
  input_invalid: { status: 400, title: 'The resolved input does not fit the adapter', retryable: false },
  template_unresolved: { status: 400, title: 'A template names something that is not there', retryable: false },
  secret_unknown: { status: 404, title: 'No such secret', retryable: false },
  secret_not_allowed: { status: 403, title: 'The secret may not go there', retryable: false },
  encryption_key_missing: { status: 503, title: 'The key of what is encrypted is not configured', retryable: true },
  unreadable_envelope: { status: 500, title: 'What is encrypted cannot be read', retryable: false },
  payload_key_missing: { status: 503, title: 'The key of the payloads is not configured', retryable: true },
  payload_unreadable: { status: 500, title: 'A payload cannot be decrypted', retryable: false },
  condition_failed: { status: 400, title: 'A condition could not be evaluated', retryable: false },
  expression_timeout: { status: 504, title: 'An expression took too long', retryable: true },
  expressions_busy: { status: 503, title: 'Too many expressions wait', retryable: true },
  expression_failed: { status: 400, title: 'An expression could not be evaluated', retryable: false },
  timeout: { status: 504, title: 'The attempt took longer than timeout_seconds', retryable: true },
  heartbeat_timeout: {
    status: 504,
    title: 'The adapter has not reported for heartbeat_timeout_seconds',
    retryable: true,
  },
  approval_rejected: { status: 409, title: 'Rejected', retryable: false },
  approval_timed_out: { status: 504, title: 'Nobody decided before the deadline', retryable: false },
  signal_timed_out: { status: 504, title: 'The signal did not come before the deadline', retryable: false },
  run_timed_out: { status: 504, title: 'The run took longer than timeout_seconds of its workflow', retryable: false },
  cancelled: { status: 409, title: 'Cancelled', retryable: false },
  item_failed: { status: 500, title: 'An item of a fan-out did not complete', retryable: false },
  repeat_exhausted: { status: 500, title: 'A loop ended without its condition', retryable: false },
  worker_crashed: { status: 500, title: 'The task ended its worker too often', retryable: false },
  child_failed: { status: 500, title: 'The child execution did not complete', retryable: true },
  child_cancelled: { status: 409, title: 'The child execution was cancelled', retryable: false },
  workflow_recursion: { status: 409, title: 'A workflow would begin itself', retryable: false },
  run_too_deep: { status: 409, title: 'Executions are nested too deeply', retryable: false },
  effect_unknown: { status: 409, title: 'Nobody knows whether the action has happened', retryable: false },
  output_too_large: { status: 413, title: 'The output is larger than MAX_OUTPUT_BYTES', retryable: false },
  output_not_storable: { status: 400, title: 'The output cannot be stored', retryable: false },
  egress_denied: { status: 403, title: 'The outbound policy refuses this address', retryable: false },
  service_unknown: { status: 404, title: 'No such service', retryable: false },
  no_instance: { status: 503, title: 'No instance of the service may be called', retryable: true },
  circuit_open: { status: 503, title: 'The circuit of the service is open', retryable: true },
  upstream_error: { status: 502, title: 'The service answered with an error', retryable: true },
  upstream_rejected: { status: 502, title: 'The service refused the request', retryable: false },
  job_failed: { status: 502, title: 'The Kubernetes job failed', retryable: true },
  network_error: { status: 502, title: 'The service could not be reached', retryable: true },
} as const satisfies Record<string, { status: number; title: string; retryable: boolean }>;

export type ErrorCode = keyof typeof CATALOGUE;
export interface FieldFault {
  /** Dotted path into the body, for example `actions.0.depends_on.1`. */
  path: string;
  message: string;
}

export function describe(code: ErrorCode): { status: number; title: string; retryable: boolean } {
  return CATALOGUE[code];
}

export function allErrorCodes(): ErrorCode[] {
  return Object.keys(CATALOGUE) as ErrorCode[]; // The keys of a literal object are its codes.
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(CATALOGUE, code);
}

/** The one error class of the service. `detail` is for people and safe to show; `cause` never leaves the process. */
export class OrchestratorError extends Error {
  readonly code: ErrorCode;
  readonly errors: FieldFault[];
  readonly retryAfterSeconds: number | undefined;
  /** The execution that stands in the way, or that was started for the request. */
  readonly executionId: string | undefined;
  /** Where that one is. */
  readonly executionLink: string | undefined;

  constructor(
    code: ErrorCode,
    detail: string,
    options: {
      errors?: FieldFault[];
      retryAfterSeconds?: number;
      executionId?: string | undefined;
      executionLink?: string;
      cause?: unknown;
    } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OrchestratorError';
    this.code = code;
    this.errors = options.errors ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.executionId = options.executionId;
    this.executionLink = options.executionLink;
  }

  get status(): number {
    return CATALOGUE[this.code].status;
  }
}

/**
 * Something of an execution is encrypted and this process cannot read it. Not an OrchestratorError, because nothing fails for
 * it: whoever needs it waits, as for a store that is away.
 */
export class UnreadablePayload extends Error {
  readonly code: 'payload_key_missing' | 'payload_unreadable';
  constructor(code: UnreadablePayload['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'UnreadablePayload';
    this.code = code;
  }
}

export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
