/** One pass over the outbox of the stream. */
import { describe, expect, test } from 'vitest';
import type { EventStream, StreamPosition } from '../../../../src/engine/ports/event-stream.ts';
import type { LoggedEvent } from '../../../../src/features/events/event-log-ports.ts';
import type { EventsOut } from '../../../../src/features/events/event-stream-ports.ts';
import { streamEvents } from '../../../../src/features/events/stream-events.ts';

const event = (id: number): LoggedEvent => ({
  id: String(id),
  kind: 'task.completed',
  tenantId: 't',
  runId: 'run',
  correlationId: null,
  traceId: null,
  at: new Date(0),
  data: {},
});

/** An outbox and a stream in memory. `gone`: events that went with their run. */
function world(owed: number, options: { gone?: readonly number[]; locked?: boolean } = {}) {
  const rows = Array.from({ length: owed }, (_, n) => ({
    id: n + 1,
    as: undefined as StreamPosition | undefined,
    sent: false,
  }));
  const entries: Array<{ id: string; at: bigint }> = [];
  const seen = { warned: 0, batches: 0, failAt: 0 };
  let clock = 0n;
  const stream: EventStream = {
    name: 's',
    last: async () => ({ ms: entries.at(-1)?.at ?? 0n, n: 0n }),
    async append(events) {
      seen.batches += 1;
      if (seen.batches === seen.failAt) throw new Error('Redis is away');
      return events.map(({ event_id: id }) => {
        clock += 1n;
        entries.push({ id: String(id), at: clock });
        return { ms: clock, n: 0n };
      });
    },
  };
  const isLost = ({ as }: (typeof rows)[number], last: StreamPosition) => as !== undefined && as.ms > last.ms;
  const out: EventsOut = {
    subscribe: async () => undefined,
    hasPending: async (last) => rows.some((row) => !row.sent || isLost(row, last)),
    async exclusively(work) {
      if (options.locked === true) return undefined;
      return work({
        async waiting(limit) {
          const waiting = rows.filter(({ sent }) => !sent).slice(0, limit);
          return waiting.map(({ id }) => ({
            outId: String(id),
            event: options.gone?.includes(id) === true ? undefined : event(id),
          }));
        },
        async sent(marks) {
          for (const { outId: id, as } of marks) {
            const row = rows[Number(id) - 1];
            if (row !== undefined) Object.assign(row, { sent: true, as });
          }
        },
        async requeueLost(last) {
          const lost = rows.filter((row) => isLost(row, last));
          for (const row of lost) Object.assign(row, { sent: false, as: undefined });
          return lost.length;
        },
      });
    },
    removeOld: async () => ({ sent: 0, unsent: 0 }),
  };
  const quiet = () => undefined;
  const warn = () => {
    seen.warned += 1;
  };
  const log = { debug: quiet, info: quiet, error: quiet, warn };
  const pass = (failpoint: () => Promise<void> | undefined = quiet) => streamEvents({ out, stream, failpoint, log });
  return { rows, entries, seen, pass, ids: () => entries.map(({ id }) => Number(id)) };
}
const upTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1);

describe('a pass', () => {
  test('sends what is pending in its order, however many batches that takes, and then nothing', async () => {
    const { pass, ids, seen, rows } = world(1_200);
    expect(await pass()).toBe(1_200);
    expect(ids()).toEqual(upTo(1_200));
    expect(seen.batches).toBe(3);
    expect(rows.every(({ sent, as }) => sent && as !== undefined)).toBe(true);
    expect(await pass()).toBe(0);
    expect(seen.batches).toBe(3);
  });

  test('leaves out events that were removed with their run, and marks them', async () => {
    const { pass, ids, rows } = world(5, { gone: [2, 5] });
    expect(await pass()).toBe(3);
    expect(ids()).toEqual([1, 3, 4]);
    expect(rows.map(({ as }) => as?.ms)).toEqual([1n, undefined, 2n, 3n, undefined]);
    expect(rows.every(({ sent }) => sent)).toBe(true);
  });

  test('marks nothing of a batch that failed, and goes on with it', async () => {
    const { pass, ids, seen } = world(700);
    seen.failAt = 2;
    await expect(pass()).rejects.toThrow('Redis is away');
    expect(ids()).toEqual(upTo(500));
    await pass();
    expect(ids()).toEqual(upTo(700));
  });

  test('that dies before it marks is repeated entirely', async () => {
    const { pass, ids } = world(3);
    await expect(pass(() => Promise.reject(new Error('killed')))).rejects.toThrow('killed');
    await pass();
    expect(ids()).toEqual([1, 2, 3, 1, 2, 3]);
  });

  test('sends again what a stream has lost, from there on', async () => {
    const { pass, ids, entries, seen } = world(4);
    await pass();
    entries.splice(2);
    expect(await pass()).toBe(2);
    expect(ids()).toEqual([1, 2, 3, 4]);
    entries.splice(0);
    await pass();
    expect(ids()).toEqual([1, 2, 3, 4]);
    expect(seen.warned).toBe(2);
  });

  test('does nothing while another process is at it', async () => {
    const { pass, ids } = world(3, { locked: true });
    expect(await pass()).toBeUndefined();
    expect(ids()).toEqual([]);
  });
});
