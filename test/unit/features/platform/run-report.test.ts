import { describe, expect, test } from 'vitest';
import { type PlatformEvent, runReport } from '../../../../src/features/platform/run-report.ts';

const ALL = { limit: 100, service: undefined, level: undefined };
const event = (kind: string, actionId: string | null = null): PlatformEvent => ({ kind, actionId });

describe('a report of runs', () => {
  test('counts those that have ended, by how bad the end was, and no others', () => {
    const statuses = [
      'completed',
      'completed',
      'cancelled',
      'compensated',
      'failed',
      'timed_out',
      'running',
      'pending',
    ];
    expect(runReport(statuses, [], ALL).summary).toEqual({ total: 6, by_severity: { low: 2, med: 2, high: 2 } });
    expect(runReport([], [], ALL)).toEqual({
      summary: { total: 0, by_severity: {} },
      log_analysis: { overview: { count: 0, by_level: {} }, sample: [] },
    });
  });

  test('reports what happened in words, with the action and the level', () => {
    const events = [event('task.upstream_failed', 'b'), event('task.retried', 'a'), event('run.requested')];
    expect(runReport([], events, ALL).log_analysis).toEqual({
      overview: { count: 3, by_level: { error: 1, warn: 1, info: 1 } },
      sample: [
        { service: 'orchestrator', level: 'error', message: 'workflow task upstream failed: b' },
        { service: 'orchestrator', level: 'warn', message: 'workflow task retried: a' },
        { service: 'orchestrator', level: 'info', message: 'workflow run requested' },
      ],
    });
  });

  test('takes as many lines as the filter lets through, up to its limit, and shows ten of them', () => {
    const events = Array.from({ length: 40 }, (_, n) => event(n % 2 === 0 ? 'run.failed' : 'run.completed'));
    const errors = runReport([], events, { ...ALL, limit: 15, level: 'error' }).log_analysis;
    expect(errors.overview).toEqual({ count: 15, by_level: { error: 15 } });
    expect(errors.sample).toHaveLength(10);
    expect(runReport([], events, { ...ALL, service: 'orchestrator' }).log_analysis.overview.count).toBe(40);
    expect(runReport([], events, { ...ALL, service: 'gateway' }).log_analysis.overview.count).toBe(0);
  });
});
