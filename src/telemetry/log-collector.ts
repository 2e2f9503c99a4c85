/**
 * Sends the log to LOG_COLLECTOR_URL beside the console and the file, without ever blocking the process.
 *
 * *Empty*: nothing waits, no timer runs. *Gathering*: the first line has set a timer; what comes until then goes into the same
 * batch. *Sending*: one request is under way, never two. *Resting*: a request failed; the next one waits for longer each time.
 * Lines that find the buffer full are counted and dropped, and the first batch that arrives afterwards says how many.
 */
import { setTimeout as wait } from 'node:timers/promises';

export interface LogCollector {
  /** One line of JSON, masked. Takes a moment and never throws. */
  take(line: string): void;
  /** Sends what is left, for as long as the grace time allows. Afterwards nothing is taken. */
  close(): Promise<void>;
}

export interface CollectorLimits {
  maxLines: number;
  maxBytes: number;
  batchLines: number;
  batchBytes: number;
  /** From the first line of a batch until it is sent. */
  gatherMs: number;
  /** Between two requests: with `batchLines` the most that is sent in a time. */
  pauseMs: number;
  timeoutMs: number;
  firstRestMs: number;
  longestRestMs: number;
  /** Of `close`. */
  graceMs: number;
}

export const COLLECTOR_LIMITS: CollectorLimits = {
  maxLines: 10_000,
  maxBytes: 8 * 1024 * 1024,
  batchLines: 500,
  batchBytes: 512 * 1024,
  gatherMs: 1_000,
  pauseMs: 200,
  timeoutMs: 5_000,
  firstRestMs: 1_000,
  longestRestMs: 30_000,
  graceMs: 5_000,
};

/** Statuses that say "not now". With any other error the same batch would be rejected again. */
const PASSING = new Set([408, 425, 429]);
type Delivery = 'taken' | 'later' | 'rejected';

export function createLogCollector(options: {
  url: string;
  limits?: Partial<CollectorLimits>;
  /** Called once when the collector cannot be reached, and once when it can be again. */
  onChange?(state: { reachable: boolean; dropped: number }): void;
  now?(): Date;
}): LogCollector {
  const limits = { ...COLLECTOR_LIMITS, ...options.limits };
  const { now = () => new Date() } = options;
  const send = sender(options.url);
  let lines: string[] = [];
  let bytes = 0;
  let dropped = 0;
  let restMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let closed = false;

  /** Not while closing: the callback logs it. */
  function report(reachable: boolean, count: number): void {
    if (!closed) options.onChange?.({ reachable, dropped: count });
  }

  function failed(): void {
    if (restMs === 0) report(false, dropped);
    restMs = Math.min(limits.longestRestMs, Math.max(limits.firstRestMs, restMs * 2));
  }

  function gather(delayMs: number): void {
    if (closed || timer !== undefined || sending !== undefined || lines.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      sending = sendOne(limits.timeoutMs).then(() => {
        sending = undefined;
        gather(Math.max(restMs, limits.pauseMs));
      });
    }, delayMs).unref();
  }

  /** Never rejects. */
  async function sendOne(timeoutMs: number): Promise<void> {
    const batch = nextBatch();
    const reported = dropped;
    const said = reported === 0 ? batch : [droppedLine(reported, now()), ...batch];
    const delivery = await send(said, timeoutMs);
    if (delivery === 'later') return failed();
    lines = lines.slice(batch.length);
    bytes -= batch.reduce((sum, line) => sum + line.length, 0);
    if (delivery === 'rejected') {
      dropped += batch.length;
      return failed();
    }
    dropped -= reported;
    if (restMs > 0) report(true, reported);
    restMs = 0;
  }

  function nextBatch(): string[] {
    let size = 0;
    const end = lines.findIndex((line, index) => {
      size += line.length;
      // A line that is too long for a batch goes alone.
      return index >= limits.batchLines || (index > 0 && size > limits.batchBytes);
    });
    return end === -1 ? [...lines] : lines.slice(0, end);
  }

  return {
    take(line) {
      if (closed) return;
      if (lines.length >= limits.maxLines || bytes + line.length > limits.maxBytes) {
        dropped += 1;
        return;
      }
      lines.push(line);
      bytes += line.length;
      gather(limits.gatherMs);
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      const until = performance.now() + limits.graceMs;
      const left = () => until - performance.now();
      await Promise.race([sending, wait(limits.graceMs, undefined, { ref: false })]);
      while (lines.length > 0 && left() > 0) {
        await sendOne(Math.min(limits.timeoutMs, left()));
        // What cannot be reached now may be in a moment, as long as there is one.
        if (restMs > 0) await wait(Math.max(0, Math.min(limits.pauseMs, left())));
      }
    },
  };
}

function droppedLine(dropped: number, at: Date): string {
  const event = 'log_lines_dropped';
  return JSON.stringify({
    ...{ timestamp: at.toISOString(), level: 'warn', event, logger: 'log-collector', service: 'orchestrator' },
    dropped,
  });
}

/** Never rejects. To an address without a path it speaks as the older log collector expects it, otherwise JSON lines. */
function sender(address: string): (lines: readonly string[], timeoutMs: number) => Promise<Delivery> {
  const url = new URL(address);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const older = url.pathname === '/';
  if (older) url.pathname = '/logs/batch';
  const headers = new Headers({ 'content-type': older ? 'application/json' : 'application/x-ndjson' });
  if (username !== '' || password !== '') {
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`);
  }
  return async (lines, timeoutMs) => {
    const body = older ? JSON.stringify({ items: lines.map(olderItem) }) : `${lines.join('\n')}\n`;
    try {
      const signal = AbortSignal.timeout(Math.ceil(timeoutMs));
      const answer = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
      await answer.body?.cancel();
      if (answer.ok) return 'taken';
      return answer.status >= 500 || PASSING.has(answer.status) ? 'later' : 'rejected';
    } catch {
      return 'later';
    }
  };
}

/** `{service, level, message, timestamp, context}`. */
function olderItem(line: string): object {
  const { service, level, event, timestamp, ...context } = JSON.parse(line) as Record<string, unknown>; // Our own line.
  return { service, level, message: event, timestamp, context };
}
