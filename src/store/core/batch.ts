/**
 * Group commit: everything that becomes ready while one statement is under way goes out in the next one. In a quiet
 * moment nobody waits for a timer, unless that is requested: the first item leaves with whatever else is ready in the same
 * tick of the event loop.
 */
import { AsyncResource } from 'node:async_hooks';

export interface BatchOptions<T, R> {
  maxItems: number;
  /** For what nobody waits for: the first item of a quiet moment stays that long. */
  lingerMs?: number;
  /**
   * While much is going on, a batch waits so long for company: a statement has a price of its own, several times that of
   * an item.
   */
  gatherMs?: number;
  /**
   * Whose an item is. While a large batch is under way, a few items of others leave beside it and do not wait for it: what
   * one party has much of must not be what another one waits for. Left out: all items are of one party.
   */
  partyOf?(item: T): string;
  /** One answer per item, in order. */
  flush(items: T[]): Promise<R[]>;
  /** Milliseconds until the same batch is sent again; undefined gives up. `tries` starts at 1. */
  retryAfter?(error: unknown, tries: number): number | undefined;
  /** The fault lies in the data of one item: the batch is halved until that item is alone. */
  isDataFault?(error: unknown): boolean;
}

export interface Batcher<T, R> {
  (item: T): Promise<R>;
  /** Items that wait or are under way. */
  size(): number;
  /** How long the batch that is under way has been so, tries and pauses included; 0: none is. */
  underWayMs(): number;
  /** Sends at once what lingers; resolves when nothing is left. */
  drain(): Promise<void>;
}

interface Waiting<T, R> {
  item: T;
  resolve(answer: R): void;
  reject(error: unknown): void;
}

/** What became of a statement for several items, for metrics. */
export interface BatchWrite {
  what: 'outcomes' | 'runs';
  items: number;
  seconds: number;
  stored: boolean;
}
export type OnWrite = (write: BatchWrite) => void;

export function measured<T, R>(
  what: BatchWrite['what'],
  onWrite: OnWrite | undefined,
  flush: (items: T[]) => Promise<R[]>,
): (items: T[]) => Promise<R[]> {
  if (onWrite === undefined) return flush;
  return async (items) => {
    const startedAt = performance.now();
    let stored = false;
    try {
      const answers = await flush(items);
      stored = true;
      return answers;
    } finally {
      onWrite({ what, items: items.length, seconds: (performance.now() - startedAt) / 1000, stored });
    }
  };
}

/** Batches of this size say that much is going on. */
const BUSY = 8;

/** Of an express batch: so few are quick, beside whatever else is under way. */
const EXPRESS_ITEMS = 8;

export function createBatcher<T, R>(options: BatchOptions<T, R>): Batcher<T, R> {
  // Whoever comes first must not be the one on whose behalf all of them are sent.
  const flush = AsyncResource.bind(options.flush);
  const { partyOf } = options;
  const main = createTrack<T, R>(options, send);
  const express = createTrack<T, R>({ maxItems: EXPRESS_ITEMS }, send);

  /** A large batch is under way, and it has nothing of this party. */
  function goesExpress(item: T): boolean {
    if (partyOf === undefined || main.underWay().length < BUSY || express.size() >= EXPRESS_ITEMS) return false;
    const party = partyOf(item);
    return main.underWay().every(({ item: other }) => partyOf(other) !== party);
  }

  async function send(batch: Waiting<T, R>[]): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        const answers = await flush(batch.map(({ item }) => item));
        batch.forEach((entry, index) => {
          const answer = answers[index];
          if (index < answers.length)
            entry.resolve(answer as R); // `index` is inside, so it is an R even when undefined.
          else entry.reject(new Error('a batch gave fewer answers than it had items'));
        });
        return;
      } catch (error) {
        if (batch.length > 1 && options.isDataFault?.(error) === true) {
          const middle = batch.length >> 1;
          await send(batch.slice(0, middle));
          await send(batch.slice(middle));
          return;
        }
        const delayMs = options.retryAfter?.(error, tries);
        if (delayMs === undefined) {
          for (const entry of batch) entry.reject(error);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }

  const add = (item: T) =>
    new Promise<R>((resolve, reject) => (goesExpress(item) ? express : main).add({ item, resolve, reject }));
  const size = () => main.size() + express.size();
  async function drain(): Promise<void> {
    while (size() > 0) {
      await Promise.all([main.sent(), express.sent()]);
      // What was only just added goes out in the next tick.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  return Object.assign(add, {
    size,
    underWayMs: () => Math.max(main.underWayMs(), express.underWayMs()),
    drain,
  });
}

interface Track<T, R> {
  add(entry: Waiting<T, R>): void;
  /** Those that wait or are under way. */
  size(): number;
  underWay(): ReadonlyArray<Waiting<T, R>>;
  underWayMs(): number;
  /** Sends at once what lingers; resolves when what is under way has been sent. */
  sent(): Promise<void>;
}

/** One batch at a time. */
function createTrack<T, R>(
  { maxItems, gatherMs, lingerMs }: Pick<BatchOptions<T, R>, 'maxItems' | 'gatherMs' | 'lingerMs'>,
  send: (batch: Waiting<T, R>[]) => Promise<void>,
): Track<T, R> {
  const waiting: Waiting<T, R>[] = [];
  let underWay: ReadonlyArray<Waiting<T, R>> = [];
  let since = 0;
  let lastSize = 0;
  let scheduled = false;
  let lingering: { timer: NodeJS.Timeout; send(): void } | undefined;
  let whenSent: Promise<void> = Promise.resolve();

  function schedule(): void {
    if (scheduled || underWay.length > 0 || waiting.length === 0) return;
    scheduled = true;
    const soon = () => {
      scheduled = false;
      lingering = undefined;
      const batch = waiting.splice(0, maxItems);
      underWay = batch;
      since = performance.now();
      lastSize = batch.length;
      whenSent = send(batch).finally(() => {
        underWay = [];
        schedule();
      });
    };
    const gathering = gatherMs !== undefined && lastSize >= BUSY && waiting.length < maxItems;
    if (gathering) setTimeout(soon, gatherMs);
    else if (lingerMs === undefined) setImmediate(soon);
    else lingering = { timer: setTimeout(soon, lingerMs).unref(), send: soon };
  }

  return {
    add(entry) {
      waiting.push(entry);
      schedule();
    },
    size: () => waiting.length + underWay.length,
    underWay: () => underWay,
    underWayMs: () => (underWay.length === 0 ? 0 : performance.now() - since),
    sent() {
      if (lingering !== undefined) {
        clearTimeout(lingering.timer);
        lingering.send();
      }
      return whenSent;
    },
  };
}
