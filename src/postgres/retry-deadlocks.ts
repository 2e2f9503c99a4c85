/** What the database is asked for with one statement, asked again when a deadlock took it. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Deadlocks, and serialization failures where a role has such a level set. */
const AGAIN_CODES: readonly unknown[] = ['40P01', '40001'];
/** A thousand jobs that are added while workers end them one by one may lose several times: each time the others go on. */
const MOST_TRIES = 10;
/** Doubled with every try, and a random share of it is waited: two that lost to each other do not come back together. */
const PAUSE_MS = 5;

/**
 * A statement outside of a transaction that was the victim of a deadlock has done nothing, and may be sent once more. BullMQ
 * writes each of its operations so: without that a job whose end was the victim counts as failed, and is delivered again.
 * Statements on a client that was checked out stay as they are: they may be part of a transaction.
 */
export function retryDeadlocks(pool: { query: (...parameters: never[]) => unknown }): void {
  const query = pool.query.bind(pool) as (...parameters: unknown[]) => Promise<unknown>; // Of its overloads those that promise.
  const patient = async (...parameters: unknown[]): Promise<unknown> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await query(...parameters);
      } catch (error) {
        if (!AGAIN_CODES.includes((error as { code?: unknown } | undefined)?.code) || tries === MOST_TRIES) throw error;
        await sleep(Math.random() * PAUSE_MS * 2 ** tries);
      }
    }
  };
  pool.query = patient;
}
