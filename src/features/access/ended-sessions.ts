/**
 * Whether a session was ended before its time. They are few, so all of them are read together and cached for a
 * few seconds: a session that is ended is rejected within that time by every process, and no request waits for a look-up of
 * its own. While the database gives no answer the cache stays valid: sessions do not end because it is away.
 */

import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { SessionDirectory } from '../../http/auth/sessions.ts';

/** What a session that was ended goes on for, at most. */
export const SESSIONS_CACHED_MS = 5_000;

export function createEndedSessions(deps: {
  directory: Pick<SessionDirectory, 'ended'>;
  /** Milliseconds of a clock that does not jump. */
  elapsed(): number;
  log: Logger;
}): (id: string) => Promise<boolean> {
  const { directory, elapsed, log } = deps;
  let ended: ReadonlySet<string> = new Set();
  let until = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    const startedAt = elapsed();
    try {
      ended = await directory.ended();
    } catch (error) {
      log.warn('ended_sessions_unknown', { error: errorMessage(error) });
    } finally {
      until = startedAt + SESSIONS_CACHED_MS;
      reading = undefined;
    }
  }

  return async (id) => {
    if (elapsed() >= until) {
      reading ??= read();
      await reading;
    }
    return ended.has(id);
  };
}
