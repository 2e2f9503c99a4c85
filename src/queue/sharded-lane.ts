/** A lane in every shard of the queue: a BullMQ worker each, with the slots and the rate limit of one lane. */
import { RateLimitError } from 'bullmq';
import { shardOfJob } from '../domain/graph/shard.ts';
import type { Backend, LaneWorker, Shard } from './backend.ts';
import { type Lane, type LaneOptions, openLane } from './lane.ts';
import { laneName } from './shard-names.ts';
import { type SlotsOfShard, shareSlots } from './shared-slots.ts';

export type ShardedLaneOptions = Omit<LaneOptions, 'backend' | 'inShard'> & { backend: Backend };

/** One for each shard. */
export function openLanes(options: ShardedLaneOptions): Lane[] {
  const { shards } = options.backend;
  if (shards.length === 1) return [openLane(options)];
  const slots = shareSlots(options.concurrency, shards.length);
  return shards.flatMap((shard, index) => {
    const own = slots[index];
    return own === undefined ? [] : [openInShard(options, { shard, index, slots: own })];
  });
}

function openInShard(
  { backend, ...options }: ShardedLaneOptions,
  { shard, index, slots }: { shard: Shard; index: number; slots: SlotsOfShard },
): Lane {
  const { queue, rateLimit } = options;
  let worker: LaneWorker | undefined;

  /** BullMQ counts the starts of one queue; those of all shards are counted beside it. */
  async function takeStart(): Promise<void> {
    const waitMs = rateLimit === undefined ? 0 : await backend.takeStart(queue, rateLimit);
    if (waitMs === 0) return;
    await worker?.rateLimit(waitMs);
    throw new RateLimitError();
  }

  return openLane({
    ...options,
    get concurrency() {
      return slots.size();
    },
    backend: {
      worker(...args) {
        worker = attached(shard.worker(...args), slots);
        return worker;
      },
    },
    inShard: {
      name: laneName(queue, index),
      async around(jobId, execute) {
        // There were more or fewer shards when it was added. Its run lives in another one now and is rebuilt there.
        if (shardOfJob(jobId, backend.shards.length) !== index) return null;
        slots.started();
        try {
          await takeStart();
          return await execute();
        } finally {
          slots.ended();
        }
      },
    },
  });
}

/** What BullMQ's worker has in hand, which its type does not say. */
interface Loop {
  mainLoopQueue?: { numTotal(): number; add(promise: Promise<undefined>): void } | null;
}

function attached(worker: LaneWorker, slots: SlotsOfShard): LaneWorker {
  const loop = worker as unknown as Loop;
  slots.attach({
    inHand: () => loop.mainLoopQueue?.numTotal(),
    resized() {
      worker.concurrency = slots.size();
      // One that was full waits for one of its jobs to end; BullMQ wakes it in this way when it is resumed.
      loop.mainLoopQueue?.add(Promise.resolve(undefined));
    },
  });
  worker.on('drained', slots.drained);
  return worker;
}
