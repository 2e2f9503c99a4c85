import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTaskReports, type TaskReport } from '../../../../src/engine/deliver/task-reports.ts';
import { createTestLog } from '../../../harness/test-log.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const TASK = { tenantId: 't', runId: 'r', actionId: 'a', epoch: 1, attempt: 1, fence: 1 };
function start(maxBytes = 1_000_000) {
  const writes: TaskReport[][] = [];
  let away = false;
  const ids = ['execution-3', 'execution-2', 'execution-1'];
  const reports = createTaskReports({
    store: {
      async write(given) {
        if (away) throw new Error('connect ECONNREFUSED');
        writes.push(structuredClone([...given]));
      },
    },
    newId: () => ids.pop() ?? randomUUID(),
    now: () => performance.now(),
    maxBytes,
    log: createTestLog(),
  });
  const chunks = () => writes.flat().flatMap((report) => report.chunks.map(({ n, json }) => [n, JSON.parse(json)]));
  return {
    reports,
    writes,
    chunks,
    beAway(is: boolean) {
      away = is;
    },
  };
}

test('who says nothing causes nothing', () => {
  const { reports, writes } = start();
  expect(reports.open(TASK, []).close()).toBeUndefined();
  expect(writes).toEqual([]);
});

test('of a thousand reports in a second the latest is written, at most once a second', async () => {
  const { reports, writes } = start();
  const task = reports.open(TASK, []);
  for (let n = 0; n < 3_000; n += 1) {
    task.progress(n / 30, `step ${n}`);
    await vi.advanceTimersByTimeAsync(1);
  }
  expect(writes.length).toBeGreaterThanOrEqual(3);
  expect(writes.length).toBeLessThanOrEqual(4);
  await task.close();
  expect(writes.at(-1)).toMatchObject([{ percent: 2_999 / 30, message: 'step 2999', execution: 'execution-1' }]);
  await vi.advanceTimersByTimeAsync(5_000);
  const before = writes.length;
  task.progress(100);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(writes.length).toBe(before);
});

test('what many tasks say at the same time is one statement', async () => {
  const { reports, writes } = start();
  const tasks = Array.from({ length: 50 }, (_, n) => reports.open({ ...TASK, actionId: `a${n}` }, []));
  for (const task of tasks) task.heartbeat();
  await vi.advanceTimersByTimeAsync(150);
  expect(writes.map(({ length }) => length)).toEqual([50]);
  await Promise.all(tasks.map((task) => task.close()));
  await vi.advanceTimersByTimeAsync(200);
});

test('pieces of text become one chunk, JSON keeps its own, and the order is that in which they came', async () => {
  const { reports, chunks } = start();
  const task = reports.open(TASK, []);
  for (const piece of ['Hel', 'lo', { tool: 'x' }, [1], 'wor', 'ld', null]) task.stream(piece);
  await vi.advanceTimersByTimeAsync(150);
  task.stream('!');
  await task.close();
  expect(chunks()).toEqual([
    [1, 'Hello'],
    [2, { tool: 'x' }],
    [3, [1]],
    [4, 'world'],
    [5, null],
    [6, '!'],
  ]);
  await vi.advanceTimersByTimeAsync(200);
});

test('no more than its bytes are stored, and it says so', async () => {
  const { reports, chunks, writes } = start(100);
  const task = reports.open(TASK, []);
  for (let n = 0; n < 1_000; n += 1) task.stream('x'.repeat(10));
  await task.close();
  expect(JSON.stringify(chunks()).length).toBeLessThan(200);
  expect(writes.at(-1)).toMatchObject([{ truncated: true }]);
  const other = reports.open(TASK, []);
  other.stream({ self: BigInt(1) });
  await other.close();
  expect(writes.at(-1)).toMatchObject([{ truncated: true, chunks: [] }]);
  await vi.advanceTimersByTimeAsync(200);
});

test('secrets are masked, also where one is cut in two', async () => {
  const { reports, chunks, writes } = start();
  const task = reports.open(TASK, ['hunter22']);
  task.stream('the word is hun');
  await vi.advanceTimersByTimeAsync(150);
  task.stream('ter22, friend');
  task.stream({ word: 'hunter22' });
  task.progress(1, 'tried hunter22');
  await task.close();
  const text = chunks()
    .flatMap(([, chunk]) => (typeof chunk === 'string' ? [chunk] : []))
    .join('');
  expect(text).toBe('the word is ***, friend');
  expect(JSON.stringify(writes)).not.toContain('hunter22');
  await vi.advanceTimersByTimeAsync(200);
});

test('while the database is away nothing is lost, and the end of the task does not wait for long', async () => {
  const { reports, writes, chunks, beAway } = start();
  const task = reports.open(TASK, []);
  beAway(true);
  task.stream('a');
  task.progress(5);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(writes).toEqual([]);
  beAway(false);
  task.stream('b');
  await vi.advanceTimersByTimeAsync(1_500);
  expect(chunks()).toEqual([
    [1, 'a'],
    [2, 'b'],
  ]);
  expect(writes.at(-1)).toMatchObject([{ percent: 5 }]);
  beAway(true);
  task.stream('c');
  await task.close();
  await vi.advanceTimersByTimeAsync(200);
});
