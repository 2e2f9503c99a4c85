/** What a worker does for events: it brings them to the stream, and tells them once more. */
import { createReplay, type ReplayDeps } from '../engine/replay-events.ts';
import { streamEvents } from '../engine/stream-events.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { openEventStream } from '../queue/event-stream.ts';
import { createEventLogStore } from '../store/event-log.ts';
import { createEventsOut } from '../store/events-out.ts';
import { createReplayWebhooks } from '../store/replay-webhooks.ts';

import { acceptInWorker, type WorkerAcceptParts } from './worker-accept.ts';

const STREAM_EVERY_MS = 250;
const REMOVE_EVERY_MS = 10_000;
const REMOVED_AT_ONCE = 10_000;

export interface WorkerEvents {
  replay: ReturnType<typeof createReplay>;
  watchUntil(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function workerEvents(parts: WorkerAcceptParts, now: ReplayDeps['now']): WorkerEvents {
  const { pool, config, failpoint, log } = parts;
  const { eventsStream, redisUrl } = config;
  const stream =
    eventsStream === undefined || redisUrl === undefined
      ? undefined
      : openEventStream({ url: redisUrl, ...eventsStream, log });
  const { accept, queue } = acceptInWorker(parts);
  const replay = createReplay({
    log: createEventLogStore(pool),
    webhooks: createReplayWebhooks(pool),
    accept,
    stream,
    secret: config.webhookSecret,
    now,
  });
  const watches = (signal: AbortSignal): Array<Promise<void>> => {
    if (stream === undefined) return [];
    const out = createEventsOut(pool, stream.name);
    const send = async () => {
      await out.want();
      await streamEvents({ out, stream, failpoint, log });
    };
    const remove = async () => {
      const { unsent } = await out.removeOld(REMOVED_AT_ONCE);
      if (unsent > 0) log.error('events_not_sent', { stream: stream.name, events: unsent });
    };
    return [repeatUntil(signal, STREAM_EVERY_MS, send, log), repeatUntil(signal, REMOVE_EVERY_MS, remove, log)];
  };
  return {
    replay,
    async watchUntil(signal) {
      await Promise.all(watches(signal));
    },
    async close() {
      stream?.close();
      await queue.close();
    },
  };
}
