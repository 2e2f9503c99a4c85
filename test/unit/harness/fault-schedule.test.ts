import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canRepeatWork, type FaultKind, scheduleOf } from '../../harness/faults/schedule.ts';
import { BACKENDS } from '../../harness/servers/backends.ts';
import { loadOf } from '../../support/faults/load.ts';

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const backends = fc.constantFrom(...BACKENDS);

test('a schedule is decided by the seed alone, and begins every fault while runs are begun', () => {
  fc.assert(
    fc.property(seeds, backends, (seed, backend) => {
      const schedule = scheduleOf(seed, backend);
      expect(scheduleOf(seed, backend)).toEqual(schedule);
      expect(schedule.faults.length).toBeGreaterThanOrEqual(5);
      for (const { atMs, worker, lengthMs } of schedule.faults) {
        expect(atMs).toBeLessThanOrEqual(schedule.loadMs);
        expect(worker).toBeLessThan(schedule.workers);
        expect(lengthMs).toBeGreaterThanOrEqual(0);
      }
      expect(schedule.faults.map(({ atMs }) => atMs)).toEqual(
        schedule.faults.map(({ atMs }) => atMs).sort((a, b) => a - b),
      );
    }),
  );
});

test('seeds differ from each other, and a few dozen of them have every fault', () => {
  const kinds = (backend: 'redis' | 'postgres') =>
    new Set(Array.from({ length: 50 }, (_, seed) => scheduleOf(seed, backend).faults.map(({ kind }) => kind)).flat());
  expect(scheduleOf(1, 'redis').faults).not.toEqual(scheduleOf(2, 'redis').faults);
  expect(kinds('redis').size).toBe(18);
  const onPostgres: FaultKind[] = [...kinds('postgres')];
  expect(onPostgres).toHaveLength(13);
  expect(onPostgres.filter((kind) => kind.startsWith('redis'))).toEqual([]);
});

test('a fault of PostgreSQL repeats work only where the queue is in it too', () => {
  expect(canRepeatWork({ kind: 'postgres_away' }, 'redis')).toBe(false);
  expect(canRepeatWork({ kind: 'postgres_away' }, 'postgres')).toBe(true);
  expect(canRepeatWork({ kind: 'kill_worker' }, 'redis')).toBe(true);
});

test('a load is decided by the seed alone', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const load = loadOf(seed, 15_000);
      expect(loadOf(seed, 15_000)).toEqual(load);
      expect(load.runs).toHaveLength(90);
      expect(new Set(load.runs.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(90);
      for (const { of } of load.runs) if ('workflow' in of) expect(load.workflows[of.workflow]).toBeDefined();
    }),
    { numRuns: 20 },
  );
});

test('a few loads together have work of every kind', () => {
  const loads = Array.from({ length: 20 }, (_, seed) => loadOf(seed, 15_000));
  const kinds = new Set(
    loads.flatMap(({ workflows }) => workflows.flatMap(({ steps }) => steps.map((one) => one.work.kind))),
  );
  expect([...kinds].sort()).toEqual([
    'approval',
    'by_hand',
    'call',
    'child',
    'compute',
    'echo',
    'external',
    'items',
    'loop',
    'overdue',
    'signal',
    'wait',
  ]);
});
