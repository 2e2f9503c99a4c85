/** Node's error codes when PostgreSQL cannot be reached, or went away. */
export const SOCKET_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** A standby that takes no writes: after a failover, until the address points to the new primary. */
export const READ_ONLY = '25006';
