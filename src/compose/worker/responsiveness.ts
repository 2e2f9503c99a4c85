/**
 * Watches whether this worker responds to its queue, and does something about it: says so, connects anew, and in the end asks
 * for a new process. It asks over a connection of its own, made for the purpose: those that it doubts cannot tell.
 */

import type { Logger } from '../../engine/ports/logger.ts';
import { pause, repeatUntil } from '../../engine/recover/reconcile.ts';
import { createResponsiveness } from '../../engine/recover/responsiveness.ts';
import type { Backend } from '../../queue/backend.ts';
import type { Lane } from '../../queue/lane.ts';

export interface ResponsivenessDeps {
  worker: string;
  lanes(): readonly Lane[];
  backend: Pick<Backend, 'ping' | 'isListening' | 'probeWaiting' | 'reconnect'>;
  /** How long jobs may wait in a lane that has room. */
  unresponsiveMs: number;
  /** Nothing helps in this process. */
  onBroken(reason: string): void;
  log: Logger;
}

export interface Responsiveness {
  isUnresponsive(): boolean;
  watchUntil(signal: AbortSignal): Promise<void>;
}

const LOOKS_PER_PERIOD = 3;
const MAX_ANSWER_MS = 5_000;

export function watchResponsiveness({
  worker,
  lanes,
  backend,
  unresponsiveMs,
  onBroken,
  log,
}: ResponsivenessDeps): Responsiveness {
  const everyMs = unresponsiveMs / LOOKS_PER_PERIOD;
  const answerMs = Math.min(MAX_ANSWER_MS, everyMs);
  const responsiveness = createResponsiveness({ unresponsiveMs, maxGapMs: 2 * unresponsiveMs });
  let unresponsive = false;
  let reachable = true;
  let unanswered = 0;
  let taken = new Map<string, number>();

  async function answers(signal: AbortSignal): Promise<boolean> {
    const ended = new AbortController();
    const late = pause(answerMs, AbortSignal.any([signal, ended.signal])).then(() => false);
    const asked = Promise.all([backend.ping(), backend.isListening()]).then((all) => all.every(Boolean));
    const answered = await Promise.race([asked.catch(() => false), late]);
    ended.abort();
    unanswered = answered ? 0 : unanswered + 1;
    // Once may be a reconnect that is under way; but only an answer shows that an unresponsive one responds again.
    return unresponsive ? answered : unanswered < 2;
  }

  async function look(signal: AbortSignal): Promise<void> {
    const doubtless = await answers(signal);
    if (signal.aborted) return;
    const states = lanes().map((lane) => ({
      queue: lane.queue,
      isFetching: lane.isFetching(),
      hasRoom: lane.hasRoom(),
      taken: lane.taken(),
    }));
    const idle = states.filter(({ queue, hasRoom, taken: now }) => hasRoom && taken.get(queue) === now);
    taken = new Map(states.map((state) => [state.queue, state.taken]));
    const waiting =
      doubtless && idle.length === 0
        ? new Map<string, number>()
        : await backend
            .probeWaiting(
              idle.map(({ queue }) => queue),
              answerMs,
            )
            .catch((error: Error) => error);
    if (waiting instanceof Error) {
      if (reachable) log.warn('queue_unreachable', { worker, error: waiting.message });
      reachable = false;
      // A connection that is not answered by a queue that answers nobody says nothing of itself.
      unanswered = 0;
      responsiveness.forget();
      return;
    }
    reachable = true;
    const checked = responsiveness.probe({ lanes: states, waiting, answers: doubtless }, performance.now());
    if (checked.state === 'responsive') {
      if (unresponsive) log.warn('worker_hears_again', { worker });
      unresponsive = false;
      return;
    }
    unresponsive = true;
    if (checked.state === 'unrecoverable') {
      log.error('worker_deaf', { worker, reason: checked.reason, act: 'end' });
      return onBroken(checked.reason);
    }
    if (checked.act === 'reconnect') {
      log.error('worker_deaf', { worker, reason: checked.reason, act: 'reconnect' });
      backend.reconnect();
    }
  }

  return {
    isUnresponsive: () => unresponsive,
    watchUntil: (signal) => repeatUntil({ signal, log }, everyMs, 'watch_queue', () => look(signal)),
  };
}
