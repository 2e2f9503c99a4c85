/**
 * The interface of a tool adapter: the code that executes one `action_type`. An adapter is one file in `adapters/`
 * that imports this file, zod and its own client library, and a line in `shipped-adapters.ts`.
 */
import { z } from 'zod';
import type { Permission } from '../src/domain/access.ts';
import type { Compensates } from '../src/domain/runs/saga.ts';
import type { CallInputs, OperationCall } from '../src/domain/service-operation.ts';
import type { ChildRunsOfTask } from '../src/engine/children/child-runs.ts';
import type { Json } from '../src/schemas/json.ts';
import { TOPIC } from '../src/schemas/topic.ts';

export interface AdapterContext {
  /** Aborted at the deadline (`timeout_seconds`), on cancellation and at shutdown. Hand it on. */
  signal: AbortSignal;
  /**
   * What it says goes to the log of the worker, with the ids of the run, and is stored for readers of the run: so many lines of
   * an attempt, so many bytes of a line. It never waits.
   */
  log: Record<'debug' | 'info' | 'warn' | 'error', (message: string, data?: object) => void>;
  /** `<run>.<epoch>.<action>`: the same for every attempt; send it on to services. */
  idempotencyKey: string;
  /**
   * Of a compensation: what it compensates. `fetch` sends the idempotency key of that as `Compensates-Idempotency-Key`, by which a
   * service finds what it did, or sees that it never did it. `effect`: `unknown` where its end is unknown.
   */
  compensates?: Compensates | undefined;
  /** 1 for the first try. */
  attempt: number;
  run: { id: string; actionId: string; tenantId: string; userId: string };
  correlationId: string | undefined;
  traceparent: string | undefined;
  /** Obeys the outbound policy, carries correlation id, traceparent and idempotency key; at most five redirects. */
  fetch(url: string, init?: AdapterFetchInit): Promise<AdapterResponse>;
  /** A service by name: from configuration (`<NAME>_URL`, SERVICES) or the registry table; undefined when unknown. */
  service(name: string): Promise<{ name: string; baseUrl: string } | undefined>;
  /**
   * A permit to call a service now: an instance whose circuit lets the call through. `release` reports how the call
   * ended. Without `again` it ends this attempt (`circuit_open`, `no_instance`) or delivery (the service is busy; the
   * circuit is open and `wait` says to wait) when there is none; with it, for a second try within the attempt, undefined.
   */
  acquire(
    service: string,
    options: { besides: readonly string[]; again: boolean; wait: boolean },
  ): Promise<ServicePermit | undefined>;
  release(permit: ServicePermit, outcome: CallOutcome): Promise<void>;
  /**
   * Before a call of a service: returns when it may be called now. Else it ends this delivery without occupying the worker,
   * and the task is delivered again when it has a rate-limit slot. Without a limit for that service it returns at once.
   */
  awaitRateLimit(service: string): Promise<void>;
  /** A call of an operation of a service, by its newest OpenAPI document. Throws what does not fit it. */
  operation(service: string, operationId: string, inputs: CallInputs): Promise<OperationCall>;
  /** A setting of the worker's configuration that adapters may read (`SMTP_URL`, `SLACK_WEBHOOK_URL`, `ESC_URL`, …). */
  setting(name: AdapterSetting): string | undefined;
  /**
   * Outputs and parameters of the run, for adapters that evaluate expressions themselves (`transform`). `locals`: what only
   * an item of a fan-out or an iteration of a loop has, as `item`.
   */
  scope: { params: Json; run: Json; outputs: Record<string, Json>; locals?: Record<string, Json> };
  /** Evaluates CEL over `variables`, bounded in size, depth and time, in a thread that can be killed. */
  evaluate(expression: string, variables: Record<string, Json>): Promise<Json>;
  /**
   * Ends this delivery without occupying the worker; the task is delivered again at that time. The first call's time is
   * the one that counts: later deliveries get it back as `wakeAt`. Never returns while the time has not come.
   */
  sleepUntil(time: Date): Promise<void>;
  /**
   * Ends this delivery without occupying the worker, because something outside has to happen first: the task is delivered
   * again when it is woken (`wakeTasks` in the engine), or at that time, and then checks again. Never returns.
   */
  park(until?: Date): Promise<never>;
  /** The time that an earlier delivery of this task sleeps until. */
  wakeAt: Date | undefined;
  /**
   * How far it is, 0 to 100, for whoever watches; the latest counts. Cheap: it is gathered, and never waits. With
   * `heartbeat_timeout_seconds` each of these three is also the sign of life that the action requires.
   */
  progress(percent: number, message?: string): void;
  /** A sign of life without news. */
  heartbeat(): void;
  /** A chunk of the output, text or JSON, for readers of the run's events while it runs. The output itself is returned. */
  stream(chunk: unknown): void;
  now(): Date;
  /** What only adapters that come with the engine use. An isolated child has none of it. */
  engine?: EngineCapabilities;
}

/** Services for one attempt, as its adapter gets them. `close`: the attempt is over. */
export interface ServicesOfTask extends Pick<AdapterContext, 'service' | 'acquire' | 'release' | 'awaitRateLimit'> {
  close(): void;
}

export interface ServicePermit {
  /** Of this attempt. */
  number: number;
  instanceId: string;
  baseUrl: string;
  timeoutSeconds: number;
}

/** `answered`: the service works, also when it rejects the call. `unclear`: the end says nothing about it. */
export type CallOutcome = 'answered' | 'failed' | 'unclear';

/** A feature adds what its own adapters get, in a `declare module` beside the code that makes it. */
export interface EngineCapabilities {
  /** Runs that this task starts. */
  children?: ChildRunsOfTask;
  /** The oldest message of that name that nobody has; once taken, every later delivery finds it again. */
  signal?(
    name: string,
    timeoutSeconds: number | undefined,
    /** An event from outside with this subject is a message too. */
    from?: { event: string; key: string },
  ): Promise<SignalAnswer>;
}

export type SignalAnswer =
  | { is: 'open'; deadline: Date | undefined }
  | { is: 'received'; payload: Json }
  | { is: 'timed_out' };

export type AdapterSetting =
  | 'ESC_URL'
  | 'SMTP_URL'
  | 'SMTP_FROM'
  | 'SLACK_WEBHOOK_URL'
  | 'NOTIFICATION_WEBHOOK_URL'
  | 'NOTIFICATION_EMAIL_TO';

export interface AdapterFetchInit {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
  /** Host and port come from configuration, so private addresses are allowed for them. Never for what a tenant has registered. */
  trusted?: boolean;
  /** The service that it goes to: its name in the trace (its host unless said), and a certificate for it is shown. */
  service?: string;
}

export interface AdapterResponse {
  status: number;
  /** Lower-case names. */
  headers: Record<string, string>;
  /** At most 10 MB, decompressed. */
  text(): Promise<string>;
  body: AsyncIterable<Uint8Array> | undefined;
}

export interface Adapter<Config extends z.ZodType = z.ZodType, Output extends z.ZodType = z.ZodType> {
  type: string;
  description: string;
  /** The shape of the resolved `config`. */
  config: Config;
  output: Output;
  /** Fields of `config` that contain CEL (`transform`): handed over as written, without resolving templates, and checked
   * when a definition is accepted. */
  literal?: readonly string[];
  /** Fields of `config` that contain a JSON Schema, which is checked when a definition is accepted. */
  jsonSchemas?: readonly string[];
  /** Paths in `config` to CEL over what only the adapter has, checked when a definition is accepted. */
  conditions?: readonly string[];
  /** Older spellings of the type. */
  aliases?: readonly string[];
  /**
   * Runs in a process of its own, one task at a time, which is killed when it does not end at its deadline: for what
   * may block, crash or take all memory. The context is the same there.
   */
  isolated?: boolean;
  /**
   * Running it again changes nothing outside: it only reads, or waits, or computes. Left out: it may. A manual retry
   * lists the actions that would act once more; an action's own `idempotent` overrides this.
   */
  idempotent?: boolean;
  /** Runs where the engine is, always: it does no work of its own that could harm anybody. */
  usesEngine?: boolean;
  /** Fields of the `config` of one that uses the engine that may hold secrets all the same: nothing of them is stored. */
  secretFields?: readonly string[];
  /** What somebody needs besides who saves a definition with such an action, or starts such a task. */
  permission?: Permission;
  /**
   * True: whatever is in this input (as resolved, not yet parsed) leaves by `context.fetch` alone, to the host that the
   * request names. Only then it may contain secrets that are bound to hosts. Left out: it may not.
   */
  sendsByFetchAlone?(input: Json): boolean;
  run(input: z.output<Config>, context: AdapterContext): Promise<z.output<Output>>;
}

export function defineAdapter<C extends z.ZodType, O extends z.ZodType>(adapter: Adapter<C, O>): Adapter<C, O> {
  return adapter;
}

/** The attempt failed and another may succeed. `retryAfterMs`: not before that (a service's Retry-After). */
export class RetryableError extends Error {
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  /** For the reader, beside the message. */
  readonly details: Json | undefined;
  constructor(
    message: string,
    options: { code?: string; retryAfterMs?: number; details?: Json; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RetryableError';
    this.code = options.code ?? 'adapter_failed';
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details;
  }
}

/** Trying again cannot help. */
export class NonRetryableError extends Error {
  readonly code: string;
  readonly details: Json | undefined;
  constructor(message: string, options: { code?: string; details?: Json; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'NonRetryableError';
    this.code = options.code ?? 'adapter_failed';
    this.details = options.details;
  }
}

/**
 * Hands a good answer back and throws for the others: 408, 425, 429 and 5xx can be tried again, other 4xx cannot.
 * `excerpt`: the start of the answer's body, which says why.
 */
export function assertOk(answer: AdapterResponse, what = 'the service', excerpt = ''): AdapterResponse {
  if (answer.status >= 200 && answer.status < 300) return answer;
  const message = `${what} answered ${answer.status}${excerpt === '' ? '' : `: ${excerpt}`}`;
  if (answer.status === 408 || answer.status === 425 || answer.status === 429 || answer.status >= 500) {
    const retryAfterMs = parseRetryAfter(answer.headers['retry-after']);
    throw new RetryableError(message, {
      code: 'upstream_error',
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
  throw new NonRetryableError(message, { code: 'upstream_rejected' });
}

/** Retry-After (RFC 9110, 10.2.3), seconds or a date, in milliseconds from now. */
export function parseRetryAfter(value: string | undefined, now: number = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value.trim())) return Number(value.trim()) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

const EXCERPT_CHARACTERS = 2_000;

/** `assertOk`, with the start of the body in the error, so that an operator sees why. */
export async function expectOk(answer: AdapterResponse, what: string): Promise<AdapterResponse> {
  if (answer.status >= 200 && answer.status < 300) return answer;
  return assertOk(answer, what, (await answer.text()).trim().slice(0, EXCERPT_CHARACTERS));
}

/** `auto`: JSON when the answer says so or says nothing and is JSON, else text. An empty body is null. */
export async function readBody(answer: AdapterResponse, as: 'auto' | 'json' | 'text', what: string): Promise<Json> {
  const text = await answer.text();
  if (as === 'text') return text;
  if (text === '') return null;
  const type = answer.headers['content-type'];
  const saysJson = type !== undefined && /[/+]json\b/i.test(type);
  if (as === 'auto' && type !== undefined && !saysJson) return text;
  try {
    return JSON.parse(text) as Json; // JSON.parse gives nothing else.
  } catch (error) {
    if (as === 'auto' && !saysJson) return text;
    throw new RetryableError(`${what} answered with what is not JSON: ${text.slice(0, 200)}`, {
      code: 'upstream_error',
      cause: error,
    });
  }
}

/** Any JSON value. What reaches an adapter was JSON when it came in, so there is nothing left to check. */
export const anyJson = z.custom<Json>((value) => value !== undefined, 'is required');
export const taskTopic = z
  .string()
  .regex(TOPIC, 'must be 1 to 255 letters, digits and . _ : / -')
  .meta({ examples: ['thumbnails'] });
const scalar = z.union([z.string(), z.number(), z.boolean()]);

export const requestHeaders = z.record(z.string(), scalar).meta({
  description: 'Request headers. Host, Content-Length, Transfer-Encoding and Connection cannot be set.',
  examples: [{ Accept: 'application/json' }],
});
export const requestQuery = z.record(z.string(), z.union([scalar, z.null(), z.array(scalar)])).meta({
  description: 'Query parameters; a list gives its name several times, null leaves it out.',
  examples: [{ page: 1, tag: ['a', 'b'] }],
});
export const requestMethod = z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export function headerTexts(headers: z.output<typeof requestHeaders> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)]));
}

/** The URL with these parameters added to its query. A value that is not a scalar is sent as JSON. */
export function withQuery(url: URL, query: Record<string, Json> | undefined): string {
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === null) continue;
    for (const item of Array.isArray(value) ? value : [value]) {
      url.searchParams.append(name, typeof item === 'object' ? JSON.stringify(item) : String(item));
    }
  }
  return url.href;
}
