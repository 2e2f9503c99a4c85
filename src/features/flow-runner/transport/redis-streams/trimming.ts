/** Keeps streams from growing for ever: every so many messages one is trimmed, of what every group has acknowledged. */
import { errorMessage } from '../../../../domain/texts/error-message.ts';
import type { Logger } from '../../../../engine/ports/logger.ts';
import type { StreamsClient } from './client.ts';
import { TRIM } from './scripts.ts';

const MOST_BETWEEN = 1_000;
/** A group that acknowledges nothing any more is worth a line this often. */
const WARN_EVERY_MS = 60_000;

export interface Trimming {
  /** So many messages were added to it, or acknowledged. */
  passed(topic: string, messages: number): Promise<void>;
}

export function createTrimming(client: StreamsClient, maxLength: number, log: Logger): Trimming {
  const every = Math.min(MOST_BETWEEN, Math.ceil(maxLength / 10));
  const since = new Map<string, number>();
  const warnedAt = new Map<string, number>();

  function warn(topic: string, length: number): void {
    const now = performance.now();
    if (now - (warnedAt.get(topic) ?? Number.NEGATIVE_INFINITY) < WARN_EVERY_MS) return;
    warnedAt.set(topic, now);
    log.warn('stream_not_trimmed', {
      ...{ topic, length, max_length: maxLength },
      what_to_do: 'A group has not acknowledged its entries (XINFO GROUPS): start its consumers, or destroy the group.',
    });
  }

  return {
    async passed(topic, messages) {
      const count = (since.get(topic) ?? 0) + messages;
      since.set(topic, count % every);
      if (count < every) return;
      try {
        const length = Number(await client.call('EVAL', TRIM, 1, topic, maxLength));
        if (length > 2 * maxLength) warn(topic, length);
      } catch (error) {
        // The next messages trim it.
        log.debug('stream_trim_failed', { topic, error: errorMessage(error) });
      }
    },
  };
}
