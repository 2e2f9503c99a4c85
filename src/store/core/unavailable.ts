/** Whether an error means that PostgreSQL cannot be reached or take work at the moment: the API answers 503 for it. */
import { READ_ONLY, SOCKET_CODES } from './socket-codes.ts';

/**
 * Connection exceptions, insufficient resources (a full disk too), shutdowns and restarts, disks that fail the server, and
 * statements that were given up because they waited too long for a lock or for their end.
 */
const SQLSTATE = /^(?:(?:08|53|58)[0-9A-Z]{3}|57P[0-9A-Z]{2}|55P03|57014)$/;
/** Not reachable, timeouts, connection closed, no free connection, no transaction started in time, too many connections. */
const PRISMA = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028', 'P2037']);
const ADAPTER = new Set(['DatabaseNotReachable', 'ConnectionClosed', 'TooManyConnections', 'SocketTimeout']);
/** node-postgres gives these no code. */
const WORDS =
  /^(?:connection terminated|timeout exceeded when trying to connect|client has encountered a connection error|cannot use a pool after)/i;
/** Of errors in errors. */
export const MAX_DEPTH = 6;

export function isUnavailable(error: unknown): boolean {
  return says(error, MAX_DEPTH);
}

/** Prisma wraps what the driver threw, and Node gathers the failures of several addresses, so all of them are checked. */
function says(error: unknown, depth: number): boolean {
  if (typeof error !== 'object' || error === null || depth === 0) return false;
  const { code, errorCode, originalCode, kind, cause, meta, driverAdapterError, errors } = error as Record<
    string,
    unknown
  >;
  if ([code, errorCode, originalCode].some(isCode)) return true;
  if (typeof kind === 'string' && ADAPTER.has(kind)) return true;
  if (error instanceof Error && WORDS.test(error.message)) return true;
  const inner = Array.isArray(errors) ? errors : [];
  return [cause, meta, driverAdapterError, ...inner].some((one) => says(one, depth - 1));
}

function isCode(code: unknown): boolean {
  if (typeof code !== 'string') return false;
  return SQLSTATE.test(code) || code === READ_ONLY || SOCKET_CODES.has(code) || PRISMA.has(code);
}
