/**
 * The calls that a worker makes to the outside, as spans of the traces of their runs. They are gathered and written down
 * together, apart from the work: nobody waits for it, and no task fails for it. There is room for so many; what comes when
 * it is full is dropped and counted, and so is what the database refuses again and again.
 */
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../ports/logger.ts';
import { traceparentOf } from './span-ids.ts';

/** On whose behalf a call is made. */
export interface CallOrigin {
  tenantId: string;
  traceId: string;
  /** Of the run, as it is stored: whether the trace is sampled. */
  parentSpan?: string | null | undefined;
  /** The span that it is a part of. */
  parentId: string;
  kind: 'request' | 'webhook' | 'callback';
  runId: string;
  actionId: string | null;
  epoch: number | null;
  attempt: number | null;
}

export interface CallSpan extends CallOrigin {
  spanId: string;
  service: string;
  method: string;
  host: string;
  /** Of the answer; null: there was none. */
  status: number | null;
  error: string | null;
  durationMs: number;
  /** When it ended, by `now`. */
  endedAt: number;
}

export interface CallSpanStore {
  /** `endedMsAgo`: the database has a clock of its own. The same spans again change nothing. */
  add(spans: ReadonlyArray<CallSpan & { endedMsAgo: number }>): Promise<void>;
}

export interface OpenCall {
  /** What the called side gets: this call is the parent of whatever it does. */
  traceparent: string;
  answered(status: number): void;
  failed(error: string): void;
}

export interface CallSpans {
  /** Undefined: the URL names no host. `service`: its host unless said. */
  begin(origin: CallOrigin, call: { method: string; url: string; service?: string | undefined }): OpenCall | undefined;
  /** Writes down what is left, once. */
  stop(): Promise<void>;
}

export interface CallSpansDeps {
  /** Undefined: they are not written down. */
  store: CallSpanStore | undefined;
  isSampled(traceId: string, parentSpan: string | null | undefined): boolean;
  /** Called with each that has ended, once. */
  ended?: ((span: CallSpan) => void) | undefined;
  newSpanId(): string;
  /** Milliseconds that only go forward. */
  now(): number;
  /** For metrics. */
  onSpans(result: 'stored' | 'dropped', spans: number): void;
  log: Logger;
  maxWaiting?: number;
  flushEveryMs?: number;
  retryEveryMs?: number;
}

const MAX_WAITING = 10_000;
const PER_STATEMENT = 500;
const FLUSH_EVERY_MS = 250;
const RETRY_EVERY_MS = 2_000;
/** A batch that is refused so often is dropped: what is wrong with it, or with the table, does not pass soon. */
const MAX_TRIES = 3;
const LOG_EVERY_MS = 60_000;
const MAX_TEXT = 500;
const MAX_WORD = 255;
const FIRST_ERROR = 400;

export function createCallSpans(deps: CallSpansDeps): CallSpans {
  const { store, now, log, maxWaiting = MAX_WAITING } = deps;
  const { flushEveryMs = FLUSH_EVERY_MS, retryEveryMs = RETRY_EVERY_MS } = deps;
  const waiting: CallSpan[] = [];
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();
  let tries = 0;
  let stopped = false;
  let unsaid = 0;
  let saidAt = Number.NEGATIVE_INFINITY;

  function drop(count: number, reason: string): void {
    deps.onSpans('dropped', count);
    unsaid += count;
    if (now() - saidAt < LOG_EVERY_MS) return;
    log.warn('call_spans_dropped', { spans: unsaid, reason });
    saidAt = now();
    unsaid = 0;
  }

  function keep(span: CallSpan): void {
    deps.ended?.(span);
    if (store === undefined) return;
    if (stopped || waiting.length >= maxWaiting) drop(1, 'there is no room for more');
    else {
      waiting.push(span);
      schedule(flushEveryMs);
    }
  }

  function schedule(afterMs: number): void {
    if (timer !== undefined || stopped) return;
    timer = setTimeout(() => {
      flushing = flush().finally(() => {
        timer = undefined;
        if (waiting.length > 0) schedule(tries === 0 ? flushEveryMs : retryEveryMs);
      });
    }, afterMs).unref();
  }

  /** What is not stored stays at the front, and takes room. */
  async function flush(): Promise<void> {
    while (store !== undefined && waiting.length > 0) {
      const batch = waiting.slice(0, PER_STATEMENT);
      try {
        await store.add(batch.map((span) => ({ ...span, endedMsAgo: now() - span.endedAt })));
        waiting.splice(0, batch.length);
        tries = 0;
        deps.onSpans('stored', batch.length);
      } catch (error) {
        tries += 1;
        if (tries < MAX_TRIES && !stopped) return;
        waiting.splice(0, batch.length);
        tries = 0;
        drop(batch.length, errorMessage(error));
        return;
      }
    }
  }

  return {
    begin(origin, { method, url, service }) {
      if (!URL.canParse(url)) return undefined;
      const { host } = new URL(url);
      const spanId = deps.newSpanId();
      const begunAt = now();
      const end = (status: number | null, error: string | null) => {
        const endedAt = now();
        keep({
          ...origin,
          spanId,
          service: storable(service ?? host, MAX_WORD),
          method: storable(method.toUpperCase(), MAX_WORD),
          host: storable(host, MAX_WORD),
          status,
          error: error === null ? null : storable(error, MAX_TEXT),
          durationMs: endedAt - begunAt,
          endedAt,
        });
      };
      return {
        traceparent: traceparentOf(origin.traceId, spanId, deps.isSampled(origin.traceId, origin.parentSpan)),
        answered: (status) => end(status, status >= FIRST_ERROR ? `answered ${status}` : null),
        failed: (error) => end(null, error),
      };
    },
    async stop() {
      clearTimeout(timer);
      await flushing;
      stopped = true;
      clearTimeout(timer);
      await flush();
      if (waiting.length > 0) drop(waiting.splice(0).length, 'the worker is stopping');
    },
  };
}

function storable(text: string, most: number): string {
  // Neither NUL nor half a character can be stored.
  return text.slice(0, most).replaceAll(/\p{Cc}|\p{Surrogate}/gu, '\ufffd');
}
