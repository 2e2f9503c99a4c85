import { expect, test } from 'vitest';
import { type LiveCursor, newReports, type TaskReportRow } from '../../../../src/domain/runs/live-reports.ts';

const AT = new Date('2030-01-01T12:00:00.000Z');
function row(values: Partial<TaskReportRow> = {}): TaskReportRow {
  return {
    actionId: 'a',
    epoch: 1,
    attempt: 1,
    execution: 'x',
    percent: null,
    message: null,
    chunks: 0,
    truncated: false,
    version: 1,
    at: AT,
    over: false,
    ...values,
  };
}
const told = (cursor: LiveCursor, rows: TaskReportRow[], late = false) =>
  newReports(cursor, rows, late).map(({ before, chunksAfter, behind }) => [
    ...before.map(({ kind }) => kind),
    ...(chunksAfter === undefined ? [] : [`chunks after ${chunksAfter}`]),
    ...behind.map(({ kind, details }) =>
      kind === 'task.progress' ? `${String(details['percent'])} ${String(details['message'])}` : kind,
    ),
  ]);

test('progress is reported when it is another, chunks when there are more, and a sign of life not at all', () => {
  const cursor: LiveCursor = new Map();
  expect(told(cursor, [row({ percent: 10, message: 'begun' })])).toEqual([['10 begun']]);
  expect(told(cursor, [row({ percent: 10, message: 'begun' })])).toEqual([]);
  expect(told(cursor, [row({ percent: 10, message: 'begun', version: 2 })])).toEqual([]);
  expect(told(cursor, [row({ percent: 20, message: 'begun', chunks: 3, version: 3 })])).toEqual([
    ['chunks after 0', '20 begun'],
  ]);
  expect(told(cursor, [row({ percent: 20, message: 'begun', chunks: 5, version: 4 })])).toEqual([['chunks after 3']]);
  expect(told(cursor, [row({ percent: 20, message: 'begun', chunks: 5, truncated: true, version: 5 })])).toEqual([
    ['task.output_truncated'],
  ]);
  expect(told(cursor, [row({ percent: 20, message: 'begun', chunks: 5, truncated: true, version: 6 })])).toEqual([]);
});

test('a new execution says that the output starts again, if there was any', () => {
  const cursor: LiveCursor = new Map();
  told(cursor, [row({ chunks: 2 }), row({ actionId: 'b', percent: 5 })]);
  expect(told(cursor, [row({ execution: 'y', attempt: 2, chunks: 1, version: 2 })])).toEqual([
    ['task.output_reset', 'chunks after 0'],
  ]);
  // The same progress of another execution is news.
  expect(told(cursor, [row({ actionId: 'b', execution: 'z', attempt: 2, percent: 5, version: 2 })])).toEqual([
    ['5 null'],
  ]);
});

test('who comes late gets what running tasks have said so far, and nothing of those that have ended', () => {
  const cursor: LiveCursor = new Map();
  const rows = [row({ chunks: 2, percent: 50 }), row({ actionId: 'b', chunks: 9, over: true })];
  expect(told(cursor, rows, true)).toEqual([['chunks after 0', '50 null']]);
  // Its end is not news either; one that ends while somebody listens has reported everything.
  expect(told(cursor, rows)).toEqual([]);
  expect(told(cursor, [row({ chunks: 4, percent: 50, over: true, version: 2 })])).toEqual([['chunks after 2']]);
});
