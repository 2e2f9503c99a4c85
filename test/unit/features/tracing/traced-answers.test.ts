import { expect, test } from 'vitest';
import type { EndedSpan } from '../../../../src/domain/ended-span.ts';
import { tracedAnswers } from '../../../../src/features/tracing/traced-work.ts';
import { getHealth, getMetrics, liveness, readiness } from '../../../../src/http/routes/service.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';

function answered(endpoint: string, parentId: string | null): EndedSpan[] {
  const spans: EndedSpan[] = [];
  const ids = { isSampled: () => true, newSpanId: () => 'f'.repeat(16), newTraceId: () => TRACE };
  const tell = tracedAnswers(
    () => undefined,
    { ...ids, add: (span) => void spans.push(span) },
    () => 1_000,
  );
  const span = { spanId: 'b7ad6b7169203331', parentId };
  tell({ method: 'GET', endpoint, status: 200, seconds: 0.5, traceId: TRACE, problem: undefined, span });
  return spans;
}

const PROBES = [getHealth, ...liveness, ...readiness, getMetrics].map(({ path }) => path);

test.each(PROBES)('what machines poll, %s, makes no span of its own', (path) => {
  expect(answered(path, null)).toEqual([]);
  // Who calls it within a trace expects it there.
  expect(answered(path, '00f067aa0ba902b7')).toMatchObject([
    { parentId: '00f067aa0ba902b7', startMs: 500, endMs: 1_000 },
  ]);
});

test('every other request does', () => {
  expect(answered('/assign-task', null)).toMatchObject([{ name: 'GET /assign-task', kind: 'server', parentId: null }]);
});
