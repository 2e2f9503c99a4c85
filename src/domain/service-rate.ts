/**
 * The rate limit of a service: at most `max` calls within any `perMs`. The calls that were made decide (the call
 * `max` before this one has to be a whole period ago), so a slot that is used late cannot make the next one too early.
 * Callers that have to wait get a slot, in batches of `max`, a period apart: that only paces them.
 */
export interface ServiceLimit {
  max: number;
  perMs: number;
}

/** Times are milliseconds of one clock. */
export interface ServiceState {
  now: number;
  /** When the call `max` before this one was made. */
  usedAt: number | undefined;
  /** The slot that this attempt got before. */
  slotAt: number | undefined;
  batchAt: number | undefined;
  batchPlanned: number;
}

export interface RateSlot {
  /** Not after `now`: it may call. */
  at: number;
  batchAt: number | undefined;
  batchPlanned: number;
}

/** A service by its name, as it is configured: `Doc-Store` is `doc_store`. */
export function serviceKey(name: string): string {
  return name.toLowerCase().replaceAll('-', '_');
}

export function takeRateSlot({ max, perMs }: ServiceLimit, state: ServiceState): RateSlot {
  const { now, usedAt, slotAt, batchAt, batchPlanned } = state;
  if (slotAt !== undefined && slotAt > now) return { at: slotAt, batchAt, batchPlanned };
  const freeAt = usedAt === undefined ? now : Math.max(now, usedAt + perMs);
  // A little late, it keeps its slot. Later than that (all workers were away, the lane is full) those who are late are
  // spread again, or they would all come back at the same moments. None is rejected while there is room.
  if (slotAt !== undefined && (freeAt === now || now - slotAt <= perMs)) return { at: freeAt, batchAt, batchPlanned };
  const planned = nextInBatch(max, perMs, state);
  return { at: Math.max(freeAt, planned.at), batchAt: planned.at, batchPlanned: planned.nth };
}

function nextInBatch(max: number, perMs: number, { now, batchAt, batchPlanned }: ServiceState) {
  if (batchAt === undefined || batchAt + perMs <= now) return { at: now, nth: 1 };
  if (batchPlanned < max) return { at: batchAt, nth: batchPlanned + 1 };
  return { at: batchAt + perMs, nth: 1 };
}
