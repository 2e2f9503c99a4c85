/** How full the store of the queue may be. The room above is reserved for the jobs that are there to end. */
export const MAX_QUEUE_USE = 0.9;

/** Of the memory of the store of the queue; undefined wherever there is no limit, or it cannot be known. */
export interface QueueUse {
  usedBytes: number;
  maxBytes: number;
}

export function isQueueFull(use: QueueUse | undefined): use is QueueUse {
  return use !== undefined && shareOf(use) >= MAX_QUEUE_USE;
}

/** From 0 on: more than 1 where the limit was lowered below what is used. */
export function shareOf({ usedBytes, maxBytes }: QueueUse): number {
  return usedBytes / maxBytes;
}

/** Of several stores the one with the least room left; what has no limit has room. */
export function fullest(uses: ReadonlyArray<QueueUse | undefined>): QueueUse | undefined {
  const limited = uses.filter((use) => use !== undefined);
  return limited.sort((one, other) => shareOf(other) - shareOf(one))[0];
}

/** `1,932,735,283 of 2,147,483,648 bytes of its memory`. */
export function fullnessOf({ usedBytes, maxBytes }: QueueUse): string {
  const words = (bytes: number) => bytes.toLocaleString('en-US');
  return `${words(usedBytes)} of ${words(maxBytes)} bytes of its memory`;
}
