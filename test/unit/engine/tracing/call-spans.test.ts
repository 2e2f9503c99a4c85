import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createEgress } from '../../../../src/egress/egress.ts';
import {
  type CallOrigin,
  type CallSpan,
  type CallSpansDeps,
  createCallSpans,
} from '../../../../src/engine/tracing/call-spans.ts';
import { createAdapterFetch } from '../../../../workers/egress-fetch.ts';
import { createTestLog } from '../../../harness/test-log.ts';
import { startHttpServer } from '../../../support/http-server.ts';

const ORIGIN: CallOrigin = {
  ...{ tenantId: 't', traceId: '4bf92f3577b34da6a3ce929d0e0e4736', parentId: 'b7ad6b7169203331', kind: 'request' },
  ...{ runId: 'r', actionId: 'a', epoch: 1, attempt: 2 },
};

function recorder(more: Partial<CallSpansDeps> = {}) {
  const stored: Array<CallSpan & { endedMsAgo: number }> = [];
  const onSpans = { stored: 0, dropped: 0 };
  const log = createTestLog();
  let ids = 0;
  const database = { refuses: false, asked: 0 };
  const calls = createCallSpans({
    store: {
      async add(spans) {
        database.asked += 1;
        if (database.refuses) throw new Error('relation "call_span" does not exist');
        stored.push(...spans);
      },
    },
    isSampled: () => true,
    newSpanId() {
      ids += 1;
      return String(ids).padStart(16, '0');
    },
    now: () => performance.now(),
    onSpans: (result, spans) => {
      onSpans[result] += spans;
    },
    log,
    ...more,
  });
  const begin = (url = 'http://pay.test/x?secret=1', service?: string) =>
    calls.begin(ORIGIN, { method: 'post', url, service });
  return { calls, begin, stored, onSpans, log, database };
}

describe('the calls of a worker', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('are written down together, with what they say and when they were', async () => {
    const { begin, stored, onSpans, database } = recorder();
    const [well, refused, lost] = [begin(), begin('http://pay.test/', 'pay'), begin()];
    expect(well?.traceparent).toBe(`00-${ORIGIN.traceId}-0000000000000001-01`);
    vi.advanceTimersByTime(40);
    well?.answered(204);
    refused?.answered(503);
    lost?.failed(`network_error: ${'x'.repeat(600)}\u0000`);
    expect(stored).toEqual([]);
    await vi.advanceTimersByTimeAsync(300);
    expect(database.asked).toBe(1);
    const shared = { ...ORIGIN, method: 'POST', host: 'pay.test', durationMs: 40, endedAt: expect.any(Number) };
    expect(stored).toEqual([
      { ...shared, spanId: '0000000000000001', service: 'pay.test', status: 204, error: null, endedMsAgo: 250 },
      { ...shared, spanId: '0000000000000002', service: 'pay', status: 503, error: 'answered 503', endedMsAgo: 250 },
      {
        ...{ ...shared, spanId: '0000000000000003', service: 'pay.test', status: null, endedMsAgo: 250 },
        error: `network_error: ${'x'.repeat(485)}`,
      },
    ]);
    expect(onSpans).toEqual({ stored: 3, dropped: 0 });
  });

  test('that lead nowhere are none', () => {
    expect(recorder().begin('not a url')).toBeUndefined();
  });

  test('are kept while the database is away for a moment, and dropped and counted when it stays away', async () => {
    const { begin, stored, onSpans, database, log } = recorder();
    database.refuses = true;
    begin()?.answered(200);
    await vi.advanceTimersByTimeAsync(300);
    database.refuses = false;
    await vi.advanceTimersByTimeAsync(2_100);
    expect(stored.map(({ spanId, endedMsAgo }) => [spanId, endedMsAgo])).toEqual([['0000000000000001', 2_250]]);
    database.refuses = true;
    begin()?.answered(200);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(onSpans).toEqual({ stored: 1, dropped: 1 });
    expect(database.asked).toBe(5);
    expect(log.lines).toEqual([
      {
        ...{ level: 'warn', event: 'call_spans_dropped' },
        fields: { spans: 1, reason: 'relation "call_span" does not exist' },
      },
    ]);
  });

  test('are dropped and counted when there is no room, and one line a minute says so', async () => {
    const { begin, stored, onSpans, log } = recorder({ maxWaiting: 2 });
    for (let n = 0; n < 5; n += 1) begin()?.answered(200);
    await vi.advanceTimersByTimeAsync(300);
    expect(stored.map(({ spanId }) => Number(spanId))).toEqual([1, 2]);
    expect(onSpans).toEqual({ stored: 2, dropped: 3 });
    expect(log.lines).toHaveLength(1);
    begin()?.answered(200);
    await vi.advanceTimersByTimeAsync(300);
    expect(onSpans.stored).toBe(3);
  });

  test('that are left at the end are written down once, or dropped', async () => {
    const { begin, calls, stored, onSpans, database } = recorder();
    begin()?.answered(200);
    await calls.stop();
    expect(stored).toHaveLength(1);
    begin()?.answered(200);
    expect(onSpans).toEqual({ stored: 1, dropped: 1 });
    const other = recorder();
    other.database.refuses = true;
    other.begin()?.answered(200);
    await other.calls.stop();
    expect(other.onSpans).toEqual({ stored: 0, dropped: 1 });
    expect([database.asked, other.database.asked]).toEqual([1, 1]);
  });
});

test('an adapter gets its answers and errors whether its calls can be written down or not', async () => {
  const server = await startHttpServer((_request, response) => void response.writeHead(503).end('busy'));
  const { calls, stored, onSpans } = recorder({ maxWaiting: 2, flushEveryMs: 600_000 });
  const log = createTestLog();
  const egress = createEgress({ policy: 'internal', allow: [], ownAddresses: [], isTrustedOrigin: () => false, log });
  const fetch = createAdapterFetch(egress, {
    tenantId: 'default',
    signal: AbortSignal.timeout(20_000),
    idempotencyKey: 'k',
    correlationId: undefined,
    traceparent: `00-${ORIGIN.traceId}-${ORIGIN.parentId}-01`,
    startSpan: (call) => calls.begin(ORIGIN, call),
  });
  try {
    expect((await fetch(`${server.url}/path?secret=1`, { method: 'POST', service: 'pay' })).status).toBe(503);
    await expect(fetch('http://127.0.0.1:1/')).rejects.toMatchObject({ code: 'network_error' });
    for (let n = 0; n < 3; n += 1) expect((await fetch(server.url)).status).toBe(503);
    await expect(fetch('nonsense')).rejects.toMatchObject({ code: 'input_invalid' });
    await calls.stop();
    expect((await fetch(server.url)).status).toBe(503);
    const { host } = new URL(server.url);
    expect(stored.map(({ service, method, host, status, error }) => [service, method, host, status, error])).toEqual([
      ['pay', 'POST', host, 503, 'answered 503'],
      [
        ...['127.0.0.1:1', 'GET', '127.0.0.1:1', null],
        expect.stringMatching(/^network_error: http:\/\/127\.0\.0\.1:1 could not be reached/),
      ],
    ]);
    expect(onSpans).toEqual({ stored: 2, dropped: 4 });
    expect(server.received[0]?.headers['traceparent']).toBe(`00-${ORIGIN.traceId}-${stored[0]?.spanId}-01`);
  } finally {
    await egress.close();
    await server.close();
  }
});
