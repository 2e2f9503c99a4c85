import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { beatUntil } from '../../../../src/compose/worker/heartbeat.ts';
import { createFaultLedger } from '../../../../src/engine/recover/fault-ledger.ts';
import { createWritePath } from '../../../../src/engine/recover/write-path.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const REJECTED = Object.assign(new Error('relation "task" does not exist'), { code: '42P01' });
const AWAY = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

function opened() {
  let fails: (Error & { code: string }) | undefined;
  let probes = 0;
  const faults = createFaultLedger(() => 0);
  const log = createTestLog();
  const path = createWritePath({
    async probe() {
      probes += 1;
      if (fails !== undefined) throw fails;
    },
    faultOf: (error) =>
      error instanceof Error && 'code' in error
        ? { class: String(error.code), message: error.message, connection: error === AWAY }
        : undefined,
    faults,
    log,
  });
  return {
    path,
    faults,
    events: () => log.lines.map(({ event }) => event),
    probes: () => probes,
    fail(error: typeof fails) {
      fails = error;
    },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('whoever asks first has the database probed, all of them once, and then the answer is cached', async () => {
  const { path, probes } = opened();
  expect(await Promise.all([path.fault(), path.fault(), path.fault()])).toEqual([undefined, undefined, undefined]);
  expect(probes()).toBe(1);
  expect(path.fault()).toBeUndefined();
  expect(probes()).toBe(1);
});

test('a database that rejects is known from the next probe on, logged once, and its end too', async () => {
  const { path, fail, faults, events } = opened();
  const stop = new AbortController();
  const watching = path.watchUntil(stop.signal);
  await vi.advanceTimersByTimeAsync(0);
  expect(path.lastFault()).toBeUndefined();
  fail(REJECTED);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(path.lastFault()).toMatchObject({ kind: 'write_path', class: '42P01' });
  expect(faults.problems()).toMatchObject([{ kind: 'write_path', source: 'database', class: '42P01' }]);
  fail(undefined);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(path.lastFault()).toBeUndefined();
  expect(faults.problems()).toEqual([]);
  expect(events()).toEqual(['database_not_usable', 'database_usable_again']);
  stop.abort();
  await watching;
});

test('a database that is away leaves it unknown, so that who comes next probes; it ends no fault that was found', async () => {
  const { path, fail, probes } = opened();
  fail(AWAY);
  expect(await path.fault()).toBeUndefined();
  expect(await path.fault()).toBeUndefined();
  expect(probes()).toBe(2);
  fail(REJECTED);
  expect(await path.fault()).toMatchObject({ class: '42P01' });
  const stop = new AbortController();
  const watching = path.watchUntil(stop.signal);
  fail(AWAY);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(path.lastFault()).toMatchObject({ class: '42P01' });
  stop.abort();
  await watching;
});

test('a probe that waits for a lock says nothing of what was found before, and makes nobody wait', async () => {
  const { path, fail, probes } = opened();
  expect(await path.fault()).toBeUndefined();
  fail(Object.assign(new Error('canceling statement due to lock timeout'), { code: '55P03' }));
  const stop = new AbortController();
  const watching = path.watchUntil(stop.signal);
  await vi.advanceTimersByTimeAsync(5_000);
  const before = probes();
  expect(path.fault()).toBeUndefined();
  expect(probes()).toBe(before);
  stop.abort();
  await watching;
});

test('what is to be started waits until something can be committed, or until this process stops', async () => {
  const { path, fail } = opened();
  const stop = new AbortController();
  await path.fault();
  expect(path.whenUsable(stop.signal)).toBeUndefined();
  fail(REJECTED);
  const watching = path.watchUntil(stop.signal);
  await vi.advanceTimersByTimeAsync(2_000);
  const stopping = new AbortController();
  const goesOn = path.whenUsable(stop.signal);
  const stopped = path.whenUsable(stopping.signal);
  stopping.abort();
  expect(await stopped).toBe(false);
  fail(undefined);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await goesOn).toBe(true);
  stop.abort();
  await watching;
});

test('a fault that has ended since the last probe is not reported, also when a probe from before is under way', async () => {
  const faults = createFaultLedger(() => 0);
  const answers: Array<(error?: Error) => void> = [];
  const path = createWritePath({
    probe: () => new Promise((resolve, reject) => answers.push((error) => (error ? reject(error) : resolve()))),
    faultOf: ({ message }: Error) => ({ class: '42P01', message, connection: false }),
    faults,
    log: createTestLog(),
  });
  await path.probeAgain();
  expect(answers).toHaveLength(0);
  const stop = new AbortController();
  const watching = path.watchUntil(stop.signal);
  answers[0]?.(REJECTED);
  await vi.advanceTimersByTimeAsync(500);
  expect(answers).toHaveLength(2);

  const reported: unknown[] = [];
  const beating = beatUntil(
    stop.signal,
    { record: async ({ faults: found }) => void reported.push(found) },
    {
      id: 'worker',
      lanes: [],
      activeTasks: () => 0,
      takeLongestLagMs: () => 0,
      isUnresponsive: () => false,
      async faults() {
        await path.probeAgain();
        return faults.problems();
      },
    },
    createTestLog(),
  );
  await vi.advanceTimersByTimeAsync(0);
  answers[1]?.(REJECTED);
  await vi.advanceTimersByTimeAsync(0);
  expect(answers).toHaveLength(3);
  expect(reported).toEqual([]);
  answers[2]?.();
  await vi.advanceTimersByTimeAsync(0);
  expect(reported).toEqual([[]]);
  stop.abort();
  await vi.advanceTimersByTimeAsync(0);
  await Promise.all([watching, beating]);
});
