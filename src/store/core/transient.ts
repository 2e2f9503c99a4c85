/** Which errors of PostgreSQL pass by themselves, and which lie in the data of a statement. */
import { setTimeout as sleep } from 'node:timers/promises';
import { cannotPass, growingDelay } from '../../domain/health/system-faults.ts';
import { READ_ONLY, SOCKET_CODES } from './socket-codes.ts';
import { stateOf, storeFault } from './sqlstate.ts';
import { isUnavailable } from './unavailable.ts';

/** Prisma's own codes: what the database said stands within. */
const OF_PRISMA = /^P\d{4}$/;

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

/** Before a statement could be sent: there is nothing that it can have done. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', '57P03', '08001']);

/** The connection went while a statement, or its commit, was under way: nobody knows whether it was done. */
export function mayBeCommitted(error: unknown): boolean {
  const code = codeOf(error);
  if (code === undefined) return error instanceof Error && /^connection terminated(?! due to)/i.test(error.message);
  return !NOT_SENT.has(code) && (SOCKET_CODES.has(code) || code.startsWith('57P') || code.startsWith('08'));
}

/** Bad values (22), cardinality (21), constraints (23), limits (54). */
export function isDataFault(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && code.length === 5 && ['21', '22', '23', '54'].includes(code.slice(0, 2));
}

/** 50 ms, doubling up to 2 s, for as long as it takes: the outcomes of a worker must not be lost because the database is away. */
export function untilItPasses(error: unknown, tries: number): number | undefined {
  return isTransient(error) || isUnavailable(error) ? Math.min(50 * 2 ** Math.min(tries - 1, 10), 2_000) : undefined;
}

const REPAIR_FROM_MS = 500;
const REPAIR_TO_MS = 5_000;

/** The schema, the rights or the mode of the database: nothing that is tried again passes before somebody repairs it. */
export function needsRepair(error: unknown): boolean {
  const fault = storeFault(error);
  return fault !== undefined && cannotPass(fault.class);
}

/** For outcomes, whose effects have happened: they are retried over a database that has to be repaired, too. */
export function untilItIsRepaired(error: unknown, tries: number): number | undefined {
  const passing = untilItPasses(error, tries);
  if (passing !== undefined || !needsRepair(error)) return passing;
  return growingDelay(tries, REPAIR_FROM_MS, REPAIR_TO_MS);
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
  if (typeof error.code !== 'string') return undefined;
  return OF_PRISMA.test(error.code) ? stateOf(error) : error.code;
}
