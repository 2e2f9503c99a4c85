/** Which version an execution gets that names none, while a share of them goes to a new one. */

export interface Canary {
  version: number;
  /** 0 to 100. */
  percent: number;
}

/**
 * The same basis (an idempotency key, a correlation id or the id of the run) always gives the same version, and one that
 * is on the canary stays there while its share only grows.
 */
export function isOnCanary({ version, percent }: Canary, workflowId: string, basis: string): boolean {
  return hash(`${workflowId} ${version} ${basis}`) / 2 ** 32 < percent / 100;
}

/** FNV-1a with the finish of MurmurHash3, without which short texts that differ at their end lie close together. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) value = Math.imul(value ^ byte, 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
