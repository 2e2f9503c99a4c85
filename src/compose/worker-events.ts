/** What a worker does for events: it brings them to the stream, and tells them once more. */

import { createKeyring } from '../engine/keyring.ts';
import type { Expressions } from '../engine/ports.ts';
import { createReplay, type ReplayDeps } from '../engine/replay-events.ts';
import { createSignalForEvents } from '../engine/signal-for-event.ts';
import { streamEvents } from '../engine/stream-events.ts';
import { repeatUntil } from '../engine/sweep.ts';
import { openEventStream } from '../queue/event-stream.ts';
import { createEventLogStore } from '../store/event-log.ts';
import { createEventsOut } from '../store/events-out.ts';
import { createEventWaits } from '../store/incoming-events.ts';
import { createReplayWebhooks } from '../store/replay-webhooks.ts';

import { createSignalStore } from '../store/signals.ts';
import { incomingEvents, signalsOf } from './incoming-events.ts';
import { acceptInWorker, type WorkerAcceptParts } from './worker-accept.ts';

const WANT_EVERY_MS = 10_000;
const STREAM_EVERY_MS = 250;
const TAKE_UP_EVERY_MS = 1_000;
const REMOVE_EVERY_MS = 10_000;
const REMOVE_WAITS_EVERY_MS = 60_000;
const REMOVED_AT_ONCE = 10_000;

export interface WorkerEvents {
  replay: ReturnType<typeof createReplay>;
  signal: ReturnType<typeof createSignalForEvents>;
  watchUntil(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function workerEvents(
  parts: WorkerAcceptParts & { expressions: Expressions },
  now: ReplayDeps['now'],
): WorkerEvents {
  const { pool, config, failpoint, log } = parts;
  const { eventsStream, redisUrl } = config;
  const stream =
    eventsStream === undefined || redisUrl === undefined
      ? undefined
      : openEventStream({ url: redisUrl, ...eventsStream, log });
  const { accept, queue } = acceptInWorker(parts);
  const replay = createReplay({
    log: createEventLogStore(pool),
    webhooks: createReplayWebhooks(pool, createKeyring(config.secretKeys)),
    accept,
    stream,
    secrets: config.webhookSecrets,
    now,
  });
  const waits = createEventWaits(pool);
  const signals = signalsOf({ ...parts, queue });
  const incoming = incomingEvents({ ...parts, accept, queue });
  const watches = (signal: AbortSignal): Array<Promise<void>> => {
    if (stream === undefined) return [];
    const out = createEventsOut(pool, stream.name);
    const send = () => streamEvents({ out, stream, failpoint, log });
    const remove = async () => {
      const { unsent } = await out.removeOld(REMOVED_AT_ONCE);
      if (unsent > 0) log.error('events_not_sent', { stream: stream.name, events: unsent });
    };
    return [
      repeatUntil(signal, WANT_EVERY_MS, 'want_events', out.want, log),
      repeatUntil(signal, STREAM_EVERY_MS, 'stream_events', send, log),
      repeatUntil(signal, REMOVE_EVERY_MS, 'remove_old_events', remove, log),
    ];
  };
  return {
    replay,
    signal: createSignalForEvents({ receive: createSignalStore(pool).receive, waits, signals }),
    async watchUntil(signal) {
      await Promise.all([
        ...watches(signal),
        repeatUntil(signal, TAKE_UP_EVERY_MS, 'take_up_events', incoming.takeUp, log),
        repeatUntil(signal, REMOVE_WAITS_EVERY_MS, 'remove_ended_waits', () => waits.removeEnded(REMOVED_AT_ONCE), log),
      ]);
      await incoming.idle();
    },
    async close() {
      stream?.close();
      await queue.close();
    },
  };
}
