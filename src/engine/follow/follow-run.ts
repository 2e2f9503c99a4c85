/**
 * Following runs live. All readers of this process share one poll of the runs that are followed, made while somebody
 * waits; a reader whose run has news then reads its own pages, so it may be as slow as it likes and costs no memory.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import type { LiveMessage } from '../../domain/runs/live-reports.ts';
import {
  eventsAfter,
  hasEnded,
  hasNews,
  isAhead,
  type RunEvent,
  type RunProgress,
} from '../../domain/runs/run-events.ts';
import { LiveReader, type LiveReports } from './live-reader.ts';

const POLL_MS = 250;
const EVENTS_PER_PAGE = 200;
const MAX_READERS = 1_000;

export interface SeenRun extends RunProgress {
  tenantId: string;
  /** Another number: some task has reported something since. */
  reports: number;
}

export interface EventsRequest {
  runId: string;
  /** Events with greater numbers. */
  after: number;
  limit: number;
}

/** The store's part. */
export interface RunEvents {
  /** Numbers what has no number yet; runs that do not exist are left out. */
  progress(runIds: readonly string[]): Promise<Map<string, SeenRun>>;
  page(request: EventsRequest): Promise<RunEvent[]>;
}

export interface Reader {
  tenantId: string;
  runId: string;
  after: number;
  signal: AbortSignal;
  /** The run exists, and there will be something to read. */
  start(): void;
  /** Resolves when it may get more; false: it takes no more. The signal: the reader goes, or the process stops. */
  take(events: readonly RunEvent[], signal: AbortSignal): Promise<boolean>;
  /** The same for what running tasks say; it has no position, so a reader that comes back gets it from its start. */
  takeLive?(messages: readonly LiveMessage[], signal: AbortSignal): Promise<boolean>;
}

export interface FollowRuns {
  /**
   * Gives a reader all events after its position, those that exist and those that come. `ended`: up to the one with which
   * the run ended. `nothing`: it had ended, and the reader had them all. `left`: the reader went, or this process stops.
   */
  follow(reader: Reader): Promise<'unknown' | 'nothing' | 'ended' | 'left'>;
  page(
    tenantId: string,
    request: EventsRequest,
  ): Promise<{ events: RunEvent[]; progress: RunProgress; more: boolean } | undefined>;
}

export interface RunFollower extends FollowRuns {
  /** For the channels `run_final` and `run_live`: one id, or several with commas between them. */
  notice(runIds: string): void;
  pollNow(): void;
  /** Ends all streams; their readers go on elsewhere. */
  close(): void;
}

const NOTHING_LIVE: LiveReports = { reports: async () => [], chunks: async () => [] };

export function createRunFollower(
  events: RunEvents,
  {
    live = NOTHING_LIVE,
    maxReaders = MAX_READERS,
    pollMs = POLL_MS,
  }: { live?: LiveReports; maxReaders?: number; pollMs?: number } = {},
): RunFollower {
  const waiting = new Map<string, Set<(seen: SeenRun | undefined) => void>>();
  const closing = new AbortController();
  let readers = 0;
  let polling = false;
  let pollAgain = false;
  let timer: NodeJS.Timeout | undefined;

  async function poll(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    if (polling) {
      // The poll under way may be older than what made this one necessary.
      pollAgain = true;
      return;
    }
    polling = true;
    pollAgain = false;
    try {
      const runIds = [...waiting.keys()];
      const seen = runIds.length === 0 ? new Map<string, SeenRun>() : await events.progress(runIds);
      for (const runId of runIds) for (const notify of [...(waiting.get(runId) ?? [])]) notify(seen.get(runId));
    } catch {
      // The database is away; the next poll may find it again.
    } finally {
      polling = false;
      if (pollAgain) setImmediate(() => void poll());
      else pollLater();
    }
  }

  function pollLater(): void {
    if (timer === undefined && !polling && waiting.size > 0) timer = setTimeout(() => void poll(), pollMs);
  }

  /** Undefined: the run is not there any more, or the signal was aborted. */
  function news(
    runId: string,
    { after, reports }: { after: number; reports: number },
    signal: AbortSignal,
  ): Promise<SeenRun | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const ofRun = waiting.get(runId) ?? new Set();
      waiting.set(runId, ofRun);
      const settle = (seen: SeenRun | undefined) => {
        ofRun.delete(notify);
        if (ofRun.size === 0 && waiting.get(runId) === ofRun) waiting.delete(runId);
        signal.removeEventListener('abort', onAbort);
        resolve(seen);
      };
      const notify = (seen: SeenRun | undefined) => {
        if (seen === undefined || hasNews(seen, after) || hasEnded(seen, after) || seen.reports !== reports)
          settle(seen);
      };
      const onAbort = () => settle(undefined);
      signal.addEventListener('abort', onAbort, { once: true });
      ofRun.add(notify);
      pollLater();
    });
  }

  async function find(tenantId: string, runId: string, after: number): Promise<SeenRun | undefined> {
    const seen = (await events.progress([runId])).get(runId);
    if (seen?.tenantId !== tenantId) return undefined;
    if (isAhead(seen, after)) {
      const message = `${after} is not the id of an event of this execution, whose newest is ${seen.last}`;
      throw new OrchestratorError('invalid_request', message, { errors: [{ path: 'last_event_id', message }] });
    }
    return seen;
  }

  async function serve(reader: Reader): Promise<'unknown' | 'nothing' | 'ended' | 'left'> {
    const { tenantId, runId } = reader;
    const signal = AbortSignal.any([reader.signal, closing.signal]);
    let { after } = reader;
    let seen = await find(tenantId, runId, after);
    if (seen === undefined) return 'unknown';
    if (hasEnded(seen, after)) return 'nothing';
    reader.start();
    const cursor = new LiveReader(live, runId);
    let reports = 0;
    for (;;) {
      // Before the events: the end of a task comes after the last that it said.
      if (reader.takeLive !== undefined && seen.reports !== reports) {
        for await (const messages of cursor.news()) {
          if (signal.aborted || !(await reader.takeLive(messages, signal))) return 'left';
        }
      }
      cursor.hasCome();
      reports = seen.reports;
      if (hasNews(seen, after)) {
        const { last } = seen;
        const page = await events.page({ runId, after: Math.max(after, 0), limit: EVENTS_PER_PAGE });
        const stored = page.filter(({ id }) => id <= last);
        const next = eventsAfter(seen, after, stored);
        // Removed with its run at this very moment.
        if (next.length === 0) return 'left';
        if (signal.aborted || !(await reader.take(next, signal))) return 'left';
        after = next.at(-1)?.id ?? after;
      } else if (hasEnded(seen, after)) {
        return 'ended';
      } else {
        const fresh = await news(runId, { after, reports }, signal);
        if (fresh === undefined) return 'left';
        seen = fresh;
      }
    }
  }

  return {
    async follow(reader) {
      if (readers >= maxReaders) {
        throw new OrchestratorError('overloaded', `${maxReaders} streams of events are open here already`);
      }
      readers += 1;
      try {
        return await serve(reader);
      } finally {
        readers -= 1;
      }
    },
    async page(tenantId, { runId, after, limit }) {
      const seen = await find(tenantId, runId, after);
      if (seen === undefined) return undefined;
      const stored = await events.page({ runId, after: Math.max(after, 0), limit });
      const found = eventsAfter(seen, after, stored).slice(0, limit);
      return { events: found, progress: seen, more: hasNews(seen, found.at(-1)?.id ?? after) };
    },
    notice(runIds) {
      if (waiting.size > 0 && runIds.split(',').some((runId) => waiting.has(runId))) void poll();
    },
    pollNow: () => void poll(),
    close() {
      closing.abort();
      clearTimeout(timer);
    },
  };
}
