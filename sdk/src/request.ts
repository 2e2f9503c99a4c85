/** One request, repeated while that is safe and may help. */
import { ApiError, ConnectionError } from './api-error.ts';
import { ERRORS_BY_CODE } from './generated/errors.ts';
import type { Problem } from './generated/types.ts';
import { backoff, deadline, sleep } from './wait.ts';

export interface ClientOptions {
  /** `http://localhost:8000`; in a browser '' is where the page came from. */
  url: string;
  /** Sent as `X-API-Key`. */
  apiKey?: string | undefined;
  /** Sent as `Authorization: Bearer`; a function is called for each request, so that it can renew the token. */
  token?: string | (() => string | Promise<string>) | undefined;
  /** true: the session that the browser has. A text is sent as the header `Cookie`, which browsers do not allow. */
  cookie?: boolean | string | undefined;
  tenant?: string | undefined;
  /** Whom the service is to believe that this is; it does so only where it trusts these credentials to say it. */
  user?: string | undefined;
  headers?: Readonly<Record<string, string>> | undefined;
  /** Ends everything that the client does. */
  signal?: AbortSignal | undefined;
  /** Of one try of one request: 40 s unless said. */
  timeoutMs?: number | undefined;
  /** Tries of a request that is safe or has a key: 5 unless said. */
  maxAttempts?: number | undefined;
  /** How long a result, a stream or a worker waits for a service that does not answer: 10 minutes unless said. */
  outageMs?: number | undefined;
  fetch?: typeof fetch | undefined;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  /** Made when it is missing, where the operation takes one. */
  idempotencyKey?: string | undefined;
  user?: string | undefined;
  headers?: Readonly<Record<string, string>> | undefined;
  maxAttempts?: number | undefined;
}

export interface PlainRequest {
  method: string;
  /** With its query. */
  path: string;
  body?: unknown;
  accept?: string;
  /** Sent once more it changes nothing, although it is no GET and has no key. */
  repeatable?: boolean;
}

export interface Received {
  status: number;
  headers: Headers;
  text: string;
}

const TIMEOUT_MS = 40_000;
const ATTEMPTS = 5;
/** A longer `Retry-After` is left to the caller. */
const LONGEST_RETRY_AFTER_MS = 60_000;
const RETRYABLE: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Whether the same request may be answered otherwise later. */
export function isPassing(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  // The execution goes on, and who repeats the request waits for it once more.
  return error instanceof ApiError && RETRYABLE.has(error.status) && error.code !== 'still_running';
}

export async function send(client: ClientOptions, request: PlainRequest, options: RequestOptions): Promise<Received> {
  const { maxAttempts = client.maxAttempts ?? ATTEMPTS, idempotencyKey, signal } = options;
  const isRepeatable = request.method === 'GET' || idempotencyKey !== undefined || request.repeatable === true;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await sendOnce(client, request, options);
    } catch (error) {
      if (!isRepeatable || attempt >= maxAttempts || !isPassing(error)) throw error;
      const asked = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
      if (asked > LONGEST_RETRY_AFTER_MS) throw error;
      await sleep(Math.max(asked, backoff(attempt)), either(signal, client.signal));
    }
  }
}

async function sendOnce(client: ClientOptions, request: PlainRequest, options: RequestOptions): Promise<Received> {
  const limit = deadline(options.timeoutMs ?? client.timeoutMs ?? TIMEOUT_MS, either(options.signal, client.signal));
  try {
    const response = await open(client, request, options, limit.signal);
    const text = await connected(() => response.text(), limit.signal);
    return { status: response.status, headers: response.headers, text };
  } catch (error) {
    throw limit.isOver() ? new ConnectionError(`${request.path}: no answer in time`, { cause: error }) : error;
  } finally {
    limit.close();
  }
}

/** The answer without its body, where it is a good one. */
export async function open(
  client: ClientOptions,
  request: PlainRequest,
  options: RequestOptions,
  signal: AbortSignal,
): Promise<Response> {
  const { fetch: send = fetch } = client;
  const headers = await headersOf(client, request, options);
  const init: RequestInit = { method: request.method, headers, signal };
  if (request.body !== undefined) init.body = JSON.stringify(request.body);
  if (client.cookie === true) init.credentials = 'include';
  const response = await connected(() => send(`${client.url.replace(/\/+$/, '')}${request.path}`, init), signal);
  if (response.ok) return response;
  throw errorOf(response, await connected(() => response.text(), signal));
}

async function connected<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    // `fetch failed` says nothing; its cause does.
    const { cause = error } = error as Error; // What fetch rejects with.
    throw new ConnectionError(`The service cannot be reached: ${String(cause)}`, { cause: error });
  }
}

async function headersOf(
  client: ClientOptions,
  { body, accept = 'application/json' }: PlainRequest,
  { idempotencyKey, user = client.user, headers }: RequestOptions,
): Promise<Record<string, string>> {
  const token = typeof client.token === 'function' ? await client.token() : client.token;
  const own: Record<string, string | undefined> = {
    accept,
    'content-type': body === undefined ? undefined : 'application/json',
    'x-api-key': client.apiKey,
    authorization: token === undefined ? undefined : `Bearer ${token}`,
    cookie: typeof client.cookie === 'string' ? client.cookie : undefined,
    'x-tenant-id': client.tenant,
    'x-user-id': user,
    'idempotency-key': idempotencyKey,
  };
  const set = Object.entries(own).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  return { ...Object.fromEntries(set), ...client.headers, ...headers };
}

function errorOf(response: Response, text: string): ApiError {
  const problem = problemIn(text);
  const { code = '' } = problem;
  const Class = Object.hasOwn(ERRORS_BY_CODE, code) ? ERRORS_BY_CODE[code as keyof typeof ERRORS_BY_CODE] : ApiError;
  return new Class(response.status, problem, readRetryAfter(response.headers.get('retry-after')));
}

/** A proxy in front of the service answers with something else. */
function problemIn(text: string): Partial<Problem> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** Seconds or a date (RFC 9110, 10.2.3), in milliseconds from now. */
export function readRetryAfter(value: string | null, now: number = Date.now()): number | undefined {
  if (value === null) return undefined;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1_000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** Both signals in one. Few requests have two. */
export function either(one: AbortSignal | undefined, other: AbortSignal | undefined): AbortSignal | undefined {
  return one !== undefined && other !== undefined ? AbortSignal.any([one, other]) : (one ?? other);
}

/** `crypto.randomUUID` is missing on pages that came without TLS. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
