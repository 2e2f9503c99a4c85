/**
 * The slots of a lane, shared by the workers of its shards: together they have as many as the lane, and a run that is wide can
 * use those that other shards do not need. Each has one at least, to notice that there is work.
 *
 * A worker must not be left with fewer slots than jobs in hand, or another one would start one too many. So what is free is
 * counted once BullMQ has done with the events at hand; and of a worker that is full only the slot of a job that has just ended
 * is taken, before BullMQ decides whether to fetch the next one for it.
 */
export interface SlotsOfShard {
  size(): number;
  /** A job starts in this shard, or has ended. */
  started(): void;
  ended(): void;
  /** Nothing waits in this shard. */
  drained(): void;
  attach(worker: SizedWorker): void;
}

export interface SizedWorker {
  /** Jobs that it has or is just fetching; undefined: it does not know yet. */
  inHand(): number | undefined;
  /** It has more slots now, or fewer. */
  resized(): void;
}

interface Share {
  size: number;
  active: number;
  worker: SizedWorker | undefined;
}

export function shareSlots(
  limit: number,
  shards: number,
  defer: (work: () => void) => void = setImmediate,
): SlotsOfShard[] {
  const shares = Array.from(
    { length: shards },
    (_, index): Share => ({
      size: Math.floor(limit / shards) + (index < limit % shards ? 1 : 0),
      active: 0,
      worker: undefined,
    }),
  );
  let deferred = false;

  const isFull = ({ active, size }: Share) => active >= size;
  const freeOf = ({ size, worker }: Share) => size - Math.max(1, worker?.inHand() ?? size);
  const fewestFirst = (one: Share, other: Share) => one.size - other.size;

  function move(from: Share, to: Share, slots: number): void {
    from.size -= slots;
    to.size += slots;
    from.worker?.resized();
    to.worker?.resized();
  }

  /** Who is full gets half of what is free; it comes again if it needs more. */
  function balance(): void {
    deferred = false;
    for (const full of shares.filter(isFull).sort(fewestFirst)) {
      const [freest] = shares.map((share) => ({ share, free: freeOf(share) })).sort((a, b) => b.free - a.free);
      if (freest === undefined || freest.free < 1) return;
      move(freest.share, full, Math.ceil(freest.free / 2));
    }
  }
  function balanceSoon(): void {
    if (deferred || !shares.some(isFull)) return;
    deferred = true;
    defer(balance);
  }

  return shares.map((share) => ({
    size: () => share.size,
    started() {
      share.active += 1;
      balanceSoon();
    },
    ended() {
      share.active -= 1;
      const [poorest] = shares.filter((other) => other !== share && isFull(other)).sort(fewestFirst);
      if (poorest !== undefined && share.size - poorest.size > 1) move(share, poorest, 1);
      balanceSoon();
    },
    drained: balanceSoon,
    attach(worker) {
      share.worker = worker;
    },
  }));
}
