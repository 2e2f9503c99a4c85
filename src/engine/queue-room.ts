/** How full the store of the queue may be. What is above is left for the jobs that are there to end. */
export const MAX_QUEUE_USE = 0.9;

/** `use`: the share of its memory that the store uses; undefined where there is no limit, or it cannot be known. */
export function isQueueFull(use: number | undefined): use is number {
  return use !== undefined && use >= MAX_QUEUE_USE;
}
