/**
 * Sends events to the stream from a transactional outbox: a row is written with its event, and marked once the entry is in
 * the stream. After a crash in between it is sent again under the same event id. A stream that ends before what it was sent
 * has lost that (FLUSHALL, a server without its newest writes), so it is sent again too, as far as it is still stored.
 */

import type { EventStream } from '../../engine/ports/event-stream.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { type EventsOut, type LockedOutbox, publicEvent } from './event-stream-ports.ts';

export interface StreamEventsDeps {
  out: EventsOut;
  stream: EventStream;
  failpoint: Failpoint;
  log: Logger;
}

const AT_ONCE = 500;
/** The lock is released now and then, so that nothing else waits for a vacuum. */
const BATCHES_PER_PASS = 20;

interface Batch {
  taken: number;
  made: number;
}

/** One pass; how many entries were made, undefined when another process is at it. */
export async function streamEvents(deps: StreamEventsDeps): Promise<number | undefined> {
  const { out, stream, log } = deps;
  // Without Redis, or without anything to do, nothing is locked for it.
  if (!(await out.hasPending(await stream.last()))) return 0;
  let made: number | undefined;
  for (let batch = 0; batch < BATCHES_PER_PASS; batch++) {
    const one = await out.exclusively(async (outbox) => {
      const lost = await outbox.requeueLost(await stream.last());
      if (lost > 0) log.warn('events_sent_again', { stream: stream.name, events: lost });
      return sendSome(deps, outbox);
    });
    if (one === undefined) return made;
    made = (made ?? 0) + one.made;
    if (one.taken < AT_ONCE) break;
  }
  return made;
}

async function sendSome({ stream, failpoint }: StreamEventsDeps, outbox: LockedOutbox): Promise<Batch> {
  const pending = await outbox.waiting(AT_ONCE);
  if (pending.length === 0) return { taken: 0, made: 0 };
  const events = pending.flatMap(({ event }) => (event === undefined ? [] : [event]));
  const positions = events.length === 0 ? [] : await stream.append(events.map(publicEvent));
  await failpoint('stream.afterAppend');
  const next = positions[Symbol.iterator]();
  await outbox.sent(
    pending.map(({ outId, event }) => ({ outId, as: event === undefined ? undefined : next.next().value })),
  );
  return { taken: pending.length, made: positions.length };
}
