/** The SQLSTATE of an error, wherever in it that stands: Prisma wraps what the driver threw. */
import { type FaultError, OLD_SERVER, toFaultError } from '../../domain/health/system-faults.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { SOCKET_CODES } from './socket-codes.ts';
import { isUnavailable, MAX_DEPTH } from './unavailable.ts';

/** As the standard and PostgreSQL make them; codes of Node of five letters (EPERM) are none. */
const SQLSTATE = /^(?:[0-9][0-9A-Z]|F0|HV|P0|XX)[0-9A-Z]{3}$/;
/** The server is there, and does not do it now: it lacks something, waited too long, or writes nothing. */
const ANSWERED = /^(?:53|55|58)|^(?:25006|57014)$/;
/** Bad values, cardinality, constraints, limits, what a routine raises: they lie in what was sent, and not in the system. */
const OF_DATA = ['21', '22', '23', '44', '54', 'P0'];

/** The SQLSTATE, the code of Node, or undefined. */
export function stateOf(error: unknown): string | undefined {
  return find(error, MAX_DEPTH)?.state;
}

/** The database rejects what this release says, or cannot do it: nothing that the caller could change. */
export function isSystemFault(error: unknown): boolean {
  const found = find(error, MAX_DEPTH);
  if (found === undefined) return false;
  return found.state === OLD_SERVER || (SQLSTATE.test(found.state) && !OF_DATA.includes(found.state.slice(0, 2)));
}

/** Undefined: not the fault of a store. */
export function storeFault(error: unknown): (FaultError & { connection: boolean }) | undefined {
  const found = find(error, MAX_DEPTH);
  if (isUnavailable(error) && !ANSWERED.test(found?.state ?? '')) {
    return { ...toFaultError(found?.state ?? 'no_answer', found?.message ?? errorMessage(error)), connection: true };
  }
  if (found === undefined || !isSystemFault(error)) return undefined;
  return { ...toFaultError(found.state, found.message), connection: false };
}

/** As much as can be said of any error. */
export function faultErrorOf(error: unknown): FaultError {
  const found = find(error, MAX_DEPTH);
  return toFaultError(found?.state, found?.message ?? errorMessage(error));
}

function find(error: unknown, depth: number): { state: string; message: string } | undefined {
  if (typeof error !== 'object' || error === null || depth === 0) return undefined;
  const { code, originalCode, originalMessage, message, cause, meta, driverAdapterError } = error as Record<
    string,
    unknown
  >;
  for (const state of [originalCode, code]) {
    if (typeof state !== 'string' || !(SQLSTATE.test(state) || SOCKET_CODES.has(state) || state === OLD_SERVER))
      continue;
    return { state, message: typeof originalMessage === 'string' ? originalMessage : String(message ?? '') };
  }
  for (const inner of [cause, meta, driverAdapterError]) {
    const found = find(inner, depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
