/**
 * Whether the process takes requests, for health checks: as `GET /ready` says, until it is drained. While somebody watches,
 * that is polled once for all of them.
 */
import { once } from 'node:events';
import { Socket } from 'node:net';
import type { HandlerContext } from '@connectrpc/connect';
import { Code, ConnectError } from '@connectrpc/connect';
import type { HttpCalls } from './http-calls.ts';

const PATH = '/ready';
const POLL_MS = 1_000;

export interface Readiness {
  /** Rejects where the credentials of the call are wrong. */
  isReady(context: HandlerContext): Promise<boolean>;
  /** What it is now, then each change, until the signal aborts or the process is drained; false is the last then. */
  changes(first: boolean, signal: AbortSignal): AsyncGenerator<boolean>;
  /** Resolves as soon as the process is drained, or the signal aborts. */
  drained(signal: AbortSignal): Promise<void>;
  drain(): void;
}

export function createReadiness(calls: HttpCalls): Readiness {
  const draining = new AbortController();
  const nobody = new Socket();
  let watchers = 0;
  /** Of the last poll; undefined: there was none since somebody began to watch. */
  let polled: boolean | undefined;
  let timer: NodeJS.Timeout | undefined;
  const waiting = new Set<() => void>();

  async function poll(): Promise<void> {
    polled = await calls.sendAsNobody(nobody, PATH).then(
      ({ status }) => status === 200,
      () => false,
    );
    for (const resolve of waiting) resolve();
    pollLater();
  }

  function pollLater(): void {
    clearTimeout(timer);
    if (watchers === 0) {
      polled = undefined;
      return;
    }
    timer = setTimeout(() => void poll(), POLL_MS);
    timer.unref();
  }

  /** Until the next poll is done, or the signal aborts. */
  async function nextPoll(ended: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        waiting.delete(done);
        ended.removeEventListener('abort', done);
        resolve();
      };
      waiting.add(done);
      ended.addEventListener('abort', done);
      if (ended.aborted) done();
    });
  }

  return {
    async isReady(context) {
      if (draining.signal.aborted) return false;
      try {
        await calls.send(context, { method: 'GET', path: PATH });
        return true;
      } catch (error) {
        if (error instanceof ConnectError && error.code === Code.Unavailable) return false;
        throw error;
      }
    },
    async *changes(first, signal) {
      const ended = AbortSignal.any([signal, draining.signal]);
      watchers += 1;
      if (watchers === 1) pollLater();
      try {
        let said = first;
        yield said;
        while (!signal.aborted) {
          const now = draining.signal.aborted ? false : (polled ?? said);
          if (now !== said) {
            said = now;
            yield said;
          } else if (draining.signal.aborted) return;
          else await nextPoll(ended);
        }
      } finally {
        watchers -= 1;
      }
    },
    async drained(signal) {
      const ended = AbortSignal.any([signal, draining.signal]);
      if (!ended.aborted) await once(ended, 'abort');
    },
    drain: () => draining.abort(),
  };
}
