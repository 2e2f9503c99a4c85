/** BullMQ's queues, workers and flows on one connection, whatever is behind it. */
import {
  type BackendFactory,
  type ConnectionOptions,
  FlowProducer,
  Queue,
  type RedisQueueBackend,
  Worker,
} from 'bullmq';
import { endedWithin } from '../engine/deliver/time-limit.ts';
import { type BackendOptions, type LaneQueue, type LaneWorker, NO_RESPONSE, type Shard } from './backend.ts';

/** Ends the name of a connection that is made for one probe. */
export const PROBE_SUFFIX = '-look';
/** Nobody listens to the events of a queue. BullMQ would store 10,000 of each, some megabytes. */
const MAX_EVENTS = 100;
/**
 * After an error of the connection. BullMQ's own default, 15 s, would delay all work for as long once the store of the queue
 * is back, and the end of the worker too, whose `close` waits for it.
 */
const RETRY_DELAY_MS = 1_000;

// BullMQ's classes carry their backend in their type. Nothing here uses what differs, so both are treated as one.
export type Factory = BackendFactory<RedisQueueBackend, ConnectionOptions> | undefined;

export function classes(
  options: BackendOptions,
  connection: ConnectionOptions,
  factory: Factory,
): Pick<Shard, 'queue' | 'worker' | 'flows'> {
  const { prefix } = options;
  return {
    queue(name) {
      const queue: LaneQueue = new Queue(
        name,
        { connection, prefix, streams: { events: { maxLen: MAX_EVENTS } } },
        factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
      );
      queue.on('error', onError(options, 'queue_error'));
      return queue;
    },
    worker(name, processor, workerOptions) {
      const all = { runRetryDelay: RETRY_DELAY_MS, ...workerOptions, connection, prefix };
      const worker: LaneWorker = new Worker(
        name,
        processor,
        all,
        factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
      );
      worker.on('error', onError(options, 'worker_error'));
      return worker;
    },
    flows() {
      const flows = new FlowProducer(
        { connection, prefix },
        factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
      );
      flows.on('error', onError(options, 'flow_error'));
      return flows;
    },
  };
}

/** Where the jobs of one lane are. */
export interface LaneAt {
  lane: string;
  queue: string;
  prefix: string;
}

/** How many jobs could be taken at once, by lane. */
export async function countWaiting(
  lanes: readonly LaneAt[],
  connection: ConnectionOptions,
  factory: Factory,
  timeoutMs: number,
): Promise<Map<string, number>> {
  const opened = lanes.map(({ lane, queue: name, prefix }) => {
    const queue: LaneQueue = new Queue(
      name,
      { connection, prefix, skipMetasUpdate: true },
      factory as BackendFactory<RedisQueueBackend, ConnectionOptions>,
    );
    queue.on('error', () => undefined);
    return { lane, queue };
  });
  const count = async ({ lane, queue }: (typeof opened)[number]) => {
    const [counts, isPaused] = await Promise.all([queue.getJobCounts('waiting', 'prioritized'), queue.isPaused()]);
    return [lane, isPaused ? 0 : (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0)] as const;
  };
  try {
    return new Map(await endedWithin(timeoutMs, Promise.all(opened.map(count)), NO_RESPONSE));
  } finally {
    for (const { queue } of opened) queue.close().catch(() => undefined);
  }
}

/** The same fault over and over (a store that is away) is said once in a while. */
const REPEAT_AFTER_MS = 10_000;

export function onError({ log, name }: BackendOptions, event: string): (error: Error) => void {
  let last = '';
  let at = 0;
  return (error) => {
    const now = performance.now();
    if (error.message === last && now - at < REPEAT_AFTER_MS) return;
    last = error.message;
    at = now;
    log.warn(event, { connection: name, error: error.message });
  };
}
