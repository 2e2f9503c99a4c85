import { expect, test } from 'vitest';
import { attemptSpanId, runSpanId, taskSpanId, traceparentOf } from '../../../../src/engine/tracing/span-ids.ts';
import type {
  AttemptRecord,
  CallRecord,
  RunRecord,
  TaskRecord,
  TraceRecords,
} from '../../../../src/features/tracing/ports.ts';
import type { Span } from '../../../../src/features/tracing/schemas.ts';
import { traceOf } from '../../../../src/features/tracing/spans.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const at = (ms: number) => new Date(Date.UTC(2030, 0, 1) + ms);
const NOW = at(10_000);

const run = (id: string, more: Partial<RunRecord> = {}): RunRecord => ({
  ...{ id, name: `flow of ${id}`, workflow_id: 'w', workflow_version: 1, status: 'completed', final: true, epoch: 1 },
  ...{ error: null, correlation_id: null, parent_span_id: null, parent_run_id: null, parent_action_id: null },
  ...{ parent_epoch: null, parent_attempt: null, created_at: at(0), finished_at: at(1_000) },
  ...more,
});
const task = (action_id: string, more: Partial<TaskRecord> = {}): TaskRecord => ({
  ...{ run_id: 'r', action_id, action_type: 'service_call', status: 'completed', final: true, epoch: 1 },
  ...{ ended_attempt: 1, parent_id: null, worker: 'w:1', error: null, started_at: at(10), finished_at: at(900) },
  ...more,
});
const attempt = (action_id: string, number: number, more: Partial<AttemptRecord> = {}): AttemptRecord => ({
  ...{ run_id: 'r', action_id, epoch: 1, attempt: number, status: 'completed', error: null, worker: 'w:1' },
  ...{ started_at: at(10 * number), finished_at: at(100 * number) },
  ...more,
});
const call = (span_id: string, action_id: string | null, more: Partial<CallRecord> = {}): CallRecord => ({
  ...{ span_id, parent_id: attemptSpanId('r', 1, action_id ?? '', 1), kind: 'request', run_id: 'r', action_id },
  ...{ epoch: 1, attempt: 1, service: 'pay', method: 'POST', host: 'pay:80', status: 200, error: null },
  ...{ started_at: at(20), finished_at: at(30) },
  ...more,
});
const records = (more: Partial<TraceRecords>): TraceRecords => ({
  ...{ runs: [], tasks: [], attempts: [], calls: [], truncated: false },
  ...more,
});
/** What it is, and what it belongs to. */
const tree = (spans: readonly Span[]) =>
  spans.map(({ kind, name, parent_span_id, status }) => {
    const parent = spans.find(({ span_id }) => span_id === parent_span_id);
    return [`${kind} ${name}`, parent === undefined ? parent_span_id : `${parent.kind} ${parent.name}`, status];
  });

test('ids follow from what a span is of, and every field of it counts', () => {
  expect(attemptSpanId('r', 1, 'a', 1)).toBe(attemptSpanId('r', 1, 'a', 1));
  const ids = [
    ...[runSpanId('r'), runSpanId('s'), taskSpanId('r', 'a'), taskSpanId('r', 'b'), attemptSpanId('r', 1, 'a', 1)],
    ...[attemptSpanId('r', 2, 'a', 1), attemptSpanId('r', 1, 'a', 2), attemptSpanId('r', 1, 'b', 1)],
  ];
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{16}$/);
  expect(traceparentOf(TRACE, runSpanId('r'))).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test('a run that has ended is its tasks, their attempts and their calls', () => {
  const failed = attempt('a', 1, { status: 'failed', error: { code: 'upstream_error', message: 'answered 503' } });
  const trace = traceOf(
    TRACE,
    records({
      runs: [run('r', { parent_span_id: '00f067aa0ba902b7' })],
      tasks: [task('a', { ended_attempt: 2 }), task('b', { status: 'skipped', started_at: null, worker: null })],
      attempts: [failed, attempt('a', 2)],
      calls: [
        call('1'.repeat(16), 'a', { status: 503, error: 'answered 503' }),
        call('2'.repeat(16), 'a', { parent_id: attemptSpanId('r', 1, 'a', 2), attempt: 2, started_at: at(40) }),
        call('3'.repeat(16), null, { parent_id: runSpanId('r'), kind: 'webhook', service: 'hook', started_at: at(50) }),
      ],
    }),
    NOW,
  );
  expect(trace).toMatchObject({ trace_id: TRACE, status: 'completed', duration_ms: 1_000, truncated: false });
  expect(tree(trace.spans)).toEqual([
    ['run flow of r', '00f067aa0ba902b7', 'ok'],
    ['task a', 'run flow of r', 'ok'],
    ['attempt a #1', 'task a', 'error'],
    ['attempt a #2', 'task a', 'ok'],
    ['call POST pay', 'attempt a #1', 'error'],
    ['call POST pay', 'attempt a #2', 'ok'],
    ['call POST hook', 'run flow of r', 'ok'],
    ['task b', 'run flow of r', 'skipped'],
  ]);
  expect(trace.spans[2]).toEqual({
    ...{ span_id: attemptSpanId('r', 1, 'a', 1), parent_span_id: taskSpanId('r', 'a'), kind: 'attempt', name: 'a #1' },
    ...{ service_name: 'orchestrator', start_time: at(10).toISOString(), end_time: at(100).toISOString() },
    ...{ duration_ms: 90, status: 'error', error: 'answered 503' },
    attributes: { execution_id: 'r', action_id: 'a', epoch: 1, attempt: 1, status: 'failed', worker: 'w:1' },
  });
  expect(trace.spans[4]).toEqual({
    ...{ span_id: '1'.repeat(16), parent_span_id: attemptSpanId('r', 1, 'a', 1), kind: 'call', name: 'POST pay' },
    ...{ service_name: 'pay', start_time: at(20).toISOString(), end_time: at(30).toISOString(), duration_ms: 10 },
    ...{ status: 'error', error: 'answered 503' },
    attributes: {
      ...{ execution_id: 'r', action_id: 'a', epoch: 1, attempt: 1, kind: 'request', method: 'POST', host: 'pay:80' },
      status_code: 503,
    },
  });
});

test('items belong to their task, compensations to the run, and a child run to the attempt that started it', () => {
  const child = run('c', { parent_run_id: 'r', parent_action_id: 'sub', parent_epoch: 2, parent_attempt: 3 });
  const { spans } = traceOf(
    TRACE,
    records({
      runs: [run('r'), { ...child, created_at: at(60) }],
      tasks: [
        task('each'),
        task('each[0]', { parent_id: 'each', started_at: at(11) }),
        task('pay~undo', { parent_id: '~saga', started_at: at(12) }),
        task('sub', { started_at: at(13), epoch: 2 }),
      ],
      attempts: [attempt('sub', 3, { epoch: 2 })],
    }),
    NOW,
  );
  expect(tree(spans).map(([name, parent]) => [name, parent])).toEqual([
    ['run flow of r', null],
    ['task each', 'run flow of r'],
    ['task each[0]', 'task each'],
    ['task pay~undo', 'run flow of r'],
    ['task sub', 'run flow of r'],
    ['attempt sub #3', 'task sub'],
    ['run flow of c', 'attempt sub #3'],
  ]);
});

test('what is under way is active, also what has no row yet, and lasts until now', () => {
  const trace = traceOf(
    TRACE,
    records({
      runs: [run('r', { status: 'running', final: false, finished_at: null })],
      tasks: [
        task('a', { status: 'running', final: false, finished_at: null, ended_attempt: 1 }),
        task('later', { status: 'pending', final: false, started_at: null, finished_at: null, ended_attempt: 0 }),
      ],
      attempts: [attempt('a', 1, { status: 'failed' })],
      calls: [
        call('1'.repeat(16), 'b'),
        call('2'.repeat(16), 'a', { parent_id: attemptSpanId('r', 1, 'a', 2), attempt: 2, started_at: at(200) }),
      ],
    }),
    NOW,
  );
  expect(trace).toMatchObject({ status: 'active', duration_ms: 10_000 });
  expect(tree(trace.spans)).toEqual([
    ['run flow of r', null, 'active'],
    ['task a', 'run flow of r', 'active'],
    ['attempt a #1', 'task a', 'error'],
    ['task b', 'run flow of r', 'active'],
    ['attempt b #1', 'task b', 'active'],
    ['call POST pay', 'attempt b #1', 'ok'],
    ['attempt a #2', 'task a', 'active'],
    ['call POST pay', 'attempt a #2', 'ok'],
  ]);
  // What has a row is shown by it.
  expect(trace.spans[1]?.attributes).toMatchObject({ action_type: 'service_call', worker: 'w:1' });
  expect(trace.spans[0]).toMatchObject({ end_time: null, duration_ms: null });
});

test('a trace is as its runs are, and as its calls where no run is left', () => {
  const statusOf = (more: Partial<TraceRecords>) => traceOf(TRACE, records(more), NOW).status;
  const failed = run('f', { status: 'failed', error: { code: 'timeout', message: 'too long' } });
  const open = run('o', { status: 'queued', final: false, finished_at: null });
  expect(statusOf({ runs: [run('r')] })).toBe('completed');
  expect(statusOf({ runs: [run('r'), failed] })).toBe('failed');
  expect(statusOf({ runs: [run('r', { status: 'cancelled' })] })).toBe('failed');
  expect(statusOf({ runs: [failed, open] })).toBe('active');
  expect(statusOf({ calls: [call('1', 'a')] })).toBe('completed');
  expect(statusOf({ calls: [call('1', 'a'), call('2', 'a', { error: 'timeout' })] })).toBe('failed');
  expect(traceOf(TRACE, records({}), NOW)).toEqual({
    ...{ trace_id: TRACE, status: 'unknown', duration_ms: 0, spans: [], truncated: false },
  });
});
