/** The worker's part: it sends events to the stream, replays them, and finishes those that the API did not. */

import { createKeyring } from '../../engine/keyring.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { openEventStream } from '../../queue/event-stream.ts';
import { signalsOf } from '../signals/assemble.ts';
import { createSignalStore } from '../signals/store.ts';
import { incomingEvents } from './assemble.ts';
import { createEventLogStore } from './event-log-store.ts';
import { createEventsOut } from './events-out.ts';
import { createReplay } from './replay-events.ts';
import { createReplayWebhooks } from './replay-webhooks.ts';
import { createSignalForEvents } from './signal-for-event.ts';
import { createEventWaits } from './store.ts';
import { streamEvents } from './stream-events.ts';

const SUBSCRIBE_EVERY_MS = 10_000;
const STREAM_EVERY_MS = 250;
const TAKE_UP_EVERY_MS = 1_000;
const REMOVE_EVERY_MS = 10_000;
const REMOVE_WAITS_EVERY_MS = 60_000;
const REMOVED_AT_ONCE = 10_000;

export const worker: FeatureWorker = {
  open(parts) {
    const { pool, config, accept, failpoint, log } = parts;
    const { eventsStream, redis: servers } = config;
    const stream =
      eventsStream === undefined || servers === undefined
        ? undefined
        : openEventStream({ servers, ...eventsStream, log });
    const replay = createReplay({
      log: createEventLogStore(pool),
      webhooks: createReplayWebhooks(pool, createKeyring(config.secretKeys)),
      accept,
      stream,
      secrets: config.webhookSecrets,
      now: () => new Date(parts.now()),
    });
    const waits = createEventWaits(pool);
    const inbox = { ...parts, queue: parts.briefQueue, texts: parts.expressions };
    const signals = signalsOf(inbox);
    const incoming = incomingEvents(inbox);
    const signal = createSignalForEvents({ receive: createSignalStore(pool).receive, waits, signals });
    const streaming = (until: AbortSignal): Array<Promise<void>> => {
      if (stream === undefined) return [];
      const out = createEventsOut(pool, stream.name);
      const send = () => streamEvents({ out, stream, failpoint, log });
      const remove = async () => {
        const { unsent } = await out.removeOld(REMOVED_AT_ONCE);
        if (unsent > 0) log.error('events_not_sent', { stream: stream.name, events: unsent });
      };
      return [
        repeatUntil({ signal: until, log }, SUBSCRIBE_EVERY_MS, 'want_events', out.subscribe),
        repeatUntil({ signal: until, log }, STREAM_EVERY_MS, 'stream_events', send),
        repeatUntil({ signal: until, log }, REMOVE_EVERY_MS, 'remove_old_events', remove),
      ];
    };
    const removeWaits = () => waits.removeEnded(REMOVED_AT_ONCE);
    return {
      capabilities: (call) => ({
        signal: (name, timeoutSeconds, from) =>
          signal(
            { runId: call.run.id, epoch: call.run.epoch, actionId: call.actionId, tenantId: call.run.tenantId },
            name,
            timeoutSeconds,
            from,
          ),
        ...replay(call),
      }),
      async work(until) {
        await Promise.all([
          ...streaming(until),
          repeatUntil({ signal: until, log }, TAKE_UP_EVERY_MS, 'take_up_events', incoming.takeUp),
          repeatUntil({ signal: until, log }, REMOVE_WAITS_EVERY_MS, 'remove_ended_waits', removeWaits),
        ]);
        await incoming.idle();
      },
      close: async () => stream?.close(),
    };
  },
};
