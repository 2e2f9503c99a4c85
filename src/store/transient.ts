/** Which errors of PostgreSQL pass by themselves, and which lie in the data of a statement. */
import { setTimeout as sleep } from 'node:timers/promises';
import { READ_ONLY, SOCKET_CODES } from './socket-codes.ts';
import { isUnavailable } from './unavailable.ts';

/** Connection failures (08), restarts (57P), serialization and deadlocks (40), lack of resources (53). */
const TRANSIENT_CLASSES = ['08', '40', '53'];

export function isTransient(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined) {
    return (
      SOCKET_CODES.has(code) ||
      code.startsWith('57P') ||
      code === READ_ONLY ||
      TRANSIENT_CLASSES.includes(code.slice(0, 2))
    );
  }
  // node-postgres reports a connection that went away without a code.
  return (
    error instanceof Error &&
    /connection terminated|timeout exceeded when trying to connect|connection error/i.test(error.message)
  );
}

/** Bad values (22), cardinality (21), constraints (23), limits (54). */
export function isDataFault(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && code.length === 5 && ['21', '22', '23', '54'].includes(code.slice(0, 2));
}

/** 50 ms, doubling up to 2 s, for as long as it takes: what a worker holds must not be lost because the database is away. */
export function untilItPasses(error: unknown, tries: number): number | undefined {
  return isTransient(error) || isUnavailable(error) ? Math.min(50 * 2 ** Math.min(tries - 1, 10), 2_000) : undefined;
}

/** For a worker, about something that may be done twice: a task does not fail because the database is away. */
export async function persist<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      const delayMs = untilItPasses(error, tries);
      if (delayMs === undefined) throw error;
      await sleep(delayMs);
    }
  }
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
