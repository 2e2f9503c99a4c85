/** One leased task: its adapter, its heartbeats, and its answer. */
import type { AdapterResponse, AnyAdapter, WorkerContext } from './adapter.ts';
import { ApiError } from './api-error.ts';
import type { Client } from './client.ts';
import type { CompleteTaskRequest, HeartbeatTaskRequest, PolledTasks } from './generated/types.ts';
import { isPassing } from './request.ts';
import { backoff, sleep } from './wait.ts';

type LeasedTask = PolledTasks['tasks'][number];
type Line = NonNullable<CompleteTaskRequest['logs']>[number];

export interface Lease {
  task: LeasedTask;
  leaseSeconds: number;
  /** By this process' own clock, which may differ from that of the service. */
  leasedAt: number;
}

interface Surroundings {
  shutdown: AbortSignal;
  report(error: unknown): void;
}

/** Nobody wants the answer any more. */
const LOST: ReadonlySet<string> = new Set(['lease_lost', 'run_cancelled', 'not_found']);
const BEATS_PER_LEASE = 3;
/** News are gathered for so long. */
const NEWS_MS = 1_000;
const MOST_LINES = 100;
const LONGEST_LINE = 4_000;
const LONGEST_MESSAGE = 16_000;
const CODE = /^[a-z][a-z0-9_]{0,99}$/;

/** Never rejects. */
export async function executeLease(
  client: Client,
  adapter: AnyAdapter,
  lease: Lease,
  { shutdown, report }: Surroundings,
): Promise<void> {
  const { task } = lease;
  const stop = new AbortController();
  const onShutdown = () => stop.abort(shutdown.reason);
  shutdown.addEventListener('abort', onShutdown, { once: true });
  const lines: Line[] = [];
  const beats = startBeats(client, lease, lines, stop);
  try {
    const input = parsedInput(adapter, task.input);
    const output = await untilAborted(
      adapter.run(input as never, contextOf(task, lines, beats, stop.signal)),
      stop.signal,
    );
    const parsed = adapter.output === undefined ? output : adapter.output.parse(output);
    await answer(stop.signal, () => {
      const body = { lease_token: task.lease_token, output: parsed ?? null, logs: lines.splice(0, MOST_LINES) };
      return client.api.completeTask({ task_id: task.task_id, body }, { signal: stop.signal });
    });
  } catch (error) {
    if (stop.signal.aborted || isLost(error)) report(stop.signal.aborted ? stop.signal.reason : error);
    else await fail(client, task, lines, { error, signal: stop.signal }).catch(report);
  } finally {
    beats.stop();
    shutdown.removeEventListener('abort', onShutdown);
  }
}

function parsedInput(adapter: AnyAdapter, input: unknown): unknown {
  if (adapter.config === undefined) return input;
  try {
    return adapter.config.parse(input);
  } catch (error) {
    throw Object.assign(new Error(String(error), { cause: error }), {
      name: 'NonRetryableError',
      code: 'input_invalid',
    });
  }
}

/** An adapter that does not listen to its signal keeps nobody waiting. */
function untilAborted<T>(work: Promise<T> | T, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    Promise.resolve(work)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function fail(
  client: Client,
  task: LeasedTask,
  lines: Line[],
  { error, signal }: { error: unknown; signal: AbortSignal },
): Promise<void> {
  const { name, message, code } = error as { name?: string; message?: string; code?: unknown }; // Anything may be thrown.
  const text = (message ?? String(error)).slice(0, LONGEST_MESSAGE) || 'failed';
  const known = typeof code === 'string' && CODE.test(code) ? { code } : {};
  // The service will say the same of the same output.
  const isRejected = error instanceof ApiError && !isPassing(error);
  const retryable = name !== 'NonRetryableError' && !isRejected;
  await answer(signal, () => {
    const logs = lines.splice(0, MOST_LINES);
    const body = { lease_token: task.lease_token, error: { message: text, ...known }, retryable, logs };
    return client.api.failTask({ task_id: task.task_id, body }, { signal });
  });
}

/** Until it has arrived, or the lease is over: an answer that was sent twice is answered in the same way. */
async function answer(signal: AbortSignal, send: () => Promise<unknown>): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    try {
      await send();
      return;
    } catch (error) {
      if (signal.aborted || !isPassing(error)) throw error;
      await sleep(backoff(failures), signal);
    }
  }
}

interface Beats {
  news(progress?: HeartbeatTaskRequest['progress']): void;
  stop(): void;
}

/** Extends the lease three times while it lasts, and aborts the task when the lease is lost, or must be by our own clock. */
function startBeats(client: Client, lease: Lease, lines: Line[], stop: AbortController): Beats {
  const { task, leaseSeconds } = lease;
  const leaseMs = leaseSeconds * 1_000;
  const everyMs = leaseMs / BEATS_PER_LEASE;
  // Both times are of the clock of the service.
  const deadlineMs = Date.parse(task.deadline) - Date.parse(task.lease_expires_at) + leaseMs;
  let endsAt = lease.leasedAt + leaseMs;
  let progress: HeartbeatTaskRequest['progress'];
  let isBeating = false;
  let timer = setTimeout(beat, everyMs);
  let dueAt = performance.now() + everyMs;
  const expiry = setInterval(
    () => {
      const now = performance.now();
      if (now - lease.leasedAt > deadlineMs) stop.abort(new Error(`${task.task_id}: its deadline has passed`));
      if (now > endsAt) stop.abort(new Error(`${task.task_id}: the lease could not be extended in time`));
    },
    Math.min(everyMs, NEWS_MS),
  );

  function schedule(ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(beat, ms);
    dueAt = performance.now() + ms;
  }

  function beat(): void {
    isBeating = true;
    const sentAt = performance.now();
    const sent = progress;
    progress = undefined;
    const logs = lines.splice(0, MOST_LINES);
    const body = {
      lease_token: task.lease_token,
      ...(sent === undefined ? {} : { progress: sent }),
      ...(logs.length === 0 ? {} : { logs }),
    };
    const options = { signal: stop.signal, maxAttempts: 1, timeoutMs: Math.max(1_000, everyMs) };
    client.api
      .heartbeatTask({ task_id: task.task_id, body }, options)
      .then(
        () => {
          endsAt = sentAt + leaseMs;
        },
        (error: unknown) => {
          if (isLost(error)) stop.abort(error);
          progress ??= sent;
          lines.unshift(...logs);
        },
      )
      .finally(() => {
        isBeating = false;
        if (!stop.signal.aborted && !isStopped) schedule(Math.max(0, everyMs - (performance.now() - sentAt)));
      });
  }

  let isStopped = false;
  return {
    news(reported) {
      progress = reported ?? progress;
      if (!isBeating && !isStopped && dueAt - performance.now() > NEWS_MS) schedule(Math.min(NEWS_MS, everyMs));
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
      clearInterval(expiry);
    },
  };
}

function isLost(error: unknown): boolean {
  return error instanceof ApiError && LOST.has(error.code);
}

function contextOf(task: LeasedTask, lines: Line[], beats: Beats, signal: AbortSignal): WorkerContext {
  const idempotencyKey = `${task.execution_id}.${task.action_id}`;
  const say = (level: Line['level']) => (message: string, data?: object) => {
    const more = data === undefined ? {} : { data: JSON.parse(JSON.stringify(data)) as Record<string, unknown> }; // An object.
    lines.push({ level, message: message.slice(0, LONGEST_LINE) || '-', at: new Date().toISOString(), ...more });
    // What is not sent before the answer goes with it; beyond that the latest are dropped.
    if (lines.length > MOST_LINES) lines.length = MOST_LINES;
    beats.news();
  };
  return {
    signal,
    log: { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    idempotencyKey,
    attempt: task.attempt,
    run: { id: task.execution_id, actionId: task.action_id },
    taskId: task.task_id,
    fetch: (url, init = {}) => fetchWith(url, { ...init, signal: init.signal ?? signal }, idempotencyKey),
    progress: (percent, message) => beats.news(message === undefined ? { percent } : { percent, message }),
    heartbeat: () => beats.news(),
    now: () => new Date(),
  };
}

async function fetchWith(
  url: string,
  init: { method?: string; headers?: Record<string, string>; body?: string; signal: AbortSignal },
  key: string,
): Promise<AdapterResponse> {
  const response = await fetch(url, { ...init, headers: { 'Idempotency-Key': key, ...init.headers } });
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    text: () => response.text(),
    body: response.body ?? undefined,
  };
}
