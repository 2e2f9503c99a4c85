/**
 * One stream, consumed as one member of a group. What is in hand is open in Redis (its list of pending entries) until `handle`
 * is done with it. A member that is not heard of for `claimAfterMs` loses what it has to another one, so it renews what it
 * works on; one that leaves gives it back. After a connection was lost the member first takes up its own open entries again:
 * the answer that brought them may have been lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../../../../domain/texts/error-message.ts';
import type { Logger } from '../../../../engine/ports/logger.ts';
import type { HandleMessages, IncomingMessage } from '../ports.ts';
import type { StreamsClient } from './client.ts';
import { bytesOf } from './entries.ts';
import type { GroupMember } from './group.ts';

export interface ConsumerTimes {
  /** How long a new message is waited for in one command. */
  blockMs: number;
  claimAfterMs: number;
  /** Between two looks for what others have lost or given back. */
  claimEveryMs: number;
  /** Before what is not done with is delivered again, and between two tries to reach Redis. */
  restMs: number;
}

export interface StreamConsumerDeps {
  topic: string;
  member: GroupMember;
  /** Used by this consumer alone. */
  blocking: StreamsClient;
  handle: HandleMessages;
  offsetReset: 'latest' | 'earliest';
  times: ConsumerTimes;
  onAcknowledged(messages: number): Promise<void>;
  log: Logger;
}

/** So much is read at a time, at most, as far as the sizes of the last messages say. */
const BATCH_MESSAGES = 250;
const BATCH_BYTES = 8 * 1_048_576;
const FIRST_MESSAGES = 20;
const FORGET_EVERY_MS = 600_000;

/** Resolves when the signal has aborted and everything is given back. */
export async function consumeStream(deps: StreamConsumerDeps, signal: AbortSignal): Promise<void> {
  const { topic, member, times, log } = deps;
  let hasJoined = false;
  let mustRecover = true;
  let away = false;
  let claimedAt = Number.NEGATIVE_INFINITY;
  let forgotAt = performance.now();
  let batch = FIRST_MESSAGES;

  const rest = () => sleep(times.restMs, undefined, { signal }).catch(() => undefined);

  async function join(): Promise<void> {
    // A group that this consumer had, and that is gone, was lost: nothing that came since is passed over.
    const from = hasJoined || deps.offsetReset === 'earliest' ? '0' : '$';
    const isNew = await member.join(from);
    hasJoined = true;
    if (!isNew) return;
    if (from === '$') {
      log.warn('consumer_group_starts_at_the_end', {
        topic,
        what_to_do: 'Messages from before are passed over; KAFKA_AUTO_OFFSET_RESET=earliest takes them in.',
      });
    } else log.info('consumer_group_made', { topic });
  }

  async function next(): Promise<IncomingMessage[]> {
    if (mustRecover) {
      await join();
      const own = await member.own(batch);
      mustRecover = own.length > 0;
      if (mustRecover) return own;
    }
    const now = performance.now();
    if (now - claimedAt >= times.claimEveryMs) {
      const claimed = await member.claim(times.claimAfterMs, batch);
      // Where there was something there may be more.
      claimedAt = claimed.length > 0 ? Number.NEGATIVE_INFINITY : now;
      if (claimed.length > 0) return claimed;
    }
    if (now - forgotAt >= FORGET_EVERY_MS) {
      forgotAt = now;
      await member.forgetEnded();
    }
    return member.read(deps.blocking, times.blockMs, batch);
  }

  /** While the work lasts, nobody else claims the messages. */
  async function renewing<T>(messages: readonly IncomingMessage[], work: Promise<T>): Promise<T> {
    const timer = setInterval(() => {
      member
        .renew(messages)
        .catch((error) => log.debug('stream_renewal_failed', { topic, error: errorMessage(error) }));
    }, times.claimAfterMs / 3);
    return work.finally(() => clearInterval(timer));
  }

  /** What is done with is acknowledged, however long Redis is away; a consumer that stops tries it once. */
  async function acknowledge(messages: readonly IncomingMessage[]): Promise<void> {
    for (;;) {
      try {
        await member.acknowledge(messages);
        await deps.onAcknowledged(messages.length);
        return;
      } catch (error) {
        lost(error);
        if (signal.aborted) return;
        await rest();
      }
    }
  }

  async function handled(messages: readonly IncomingMessage[]): Promise<number> {
    try {
      const done = await renewing(messages, deps.handle(messages, signal));
      return Math.min(messages.length, Math.max(0, done));
    } catch (error) {
      log.warn('messages_not_handled', { topic, messages: messages.length, error: errorMessage(error) });
      return 0;
    }
  }

  async function deliver(messages: readonly IncomingMessage[]): Promise<void> {
    batch = batchAfter(messages);
    let open = messages;
    while (open.length > 0 && !signal.aborted) {
      const done = await handled(open);
      if (done > 0) await acknowledge(open.slice(0, done));
      open = open.slice(done);
      if (open.length > 0) await renewing(open, rest());
    }
    if (open.length > 0) await member.giveBack(open);
  }

  function lost(error: unknown): void {
    mustRecover = true;
    if (!away) log.warn('redis_streams_unreachable', { topic, error: errorMessage(error) });
    away = true;
  }

  while (!signal.aborted) {
    try {
      const messages = await next();
      if (away) log.info('redis_streams_back', { topic });
      away = false;
      await deliver(messages);
    } catch (error) {
      lost(error);
      await rest();
    }
  }
  // Redis may be away: then others claim what is open here after its time.
  await member.leave().catch(() => undefined);
}

/** As many as are expected to have that many bytes. */
function batchAfter(messages: readonly IncomingMessage[]): number {
  if (messages.length === 0) return FIRST_MESSAGES;
  const bytes = messages.reduce((sum, message) => sum + bytesOf(message), 0);
  const average = Math.max(1, bytes / messages.length);
  return Math.min(BATCH_MESSAGES, Math.max(1, Math.floor(BATCH_BYTES / average)));
}
