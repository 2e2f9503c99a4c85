/** Takes away what is over by itself (cached outputs, keys of `dedupe`, events), in small batches with a breath in between. */
import type { Logger } from '../ports/logger.ts';

export interface ExpiryStore {
  /** Removes at most `limit` rows of each kind; the most of one kind. */
  removeExpired(limit: number): Promise<number>;
}

export interface ExpiryDeps {
  expiry: ExpiryStore;
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
  log: Logger;
}

const ROWS_PER_BATCH = 500;
const BREATH_MS = 50;

export async function removeExpired({ expiry, pause, log }: ExpiryDeps, signal: AbortSignal): Promise<void> {
  let batches = 0;
  while (!signal.aborted) {
    const removed = await expiry.removeExpired(ROWS_PER_BATCH);
    if (removed > 0) batches += 1;
    if (removed < ROWS_PER_BATCH) break;
    await pause(BREATH_MS, signal);
  }
  if (batches > 0) log.debug('expired_rows_removed', { batches });
}
