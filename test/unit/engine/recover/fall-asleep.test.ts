/** Runs are noted as asleep many at a time; what is wrong with one of them is no matter of the others. */
import { expect, test } from 'vitest';
import { makePlan } from '../../../../src/domain/graph/plan.ts';
import type { RunRow, TaskRow } from '../../../../src/engine/ports/rows.ts';
import { createFallAsleep } from '../../../../src/engine/recover/sleeping-runs.ts';
import { definitionOf } from '../../../harness/dags.ts';

const PLAN = makePlan(definitionOf({ a: [] }));
// As much of a row as is read.
const ASLEEP = { actionId: 'a', status: 'waiting', final: false, wakes: 0, wakesSeen: 0, parentId: null } as TaskRow;

/** `broken`: a run that nobody can read. */
function noting(broken: string) {
  const batches: string[][] = [];
  const asleep: string[] = [];
  const warned: unknown[] = [];
  const warn = (event: string, of?: object) => void warned.push({ event, ...of });
  const fallAsleep = createFallAsleep({
    plans: { of: async () => PLAN },
    runs: {
      async statusesOf(runIds) {
        batches.push([...runIds]);
        if (runIds.includes(broken)) throw new Error('it cannot be decrypted');
        const found = (id: string) => ({
          run: { id, epoch: 1, status: 'running', final: false } as RunRow,
          tasks: new Map([['a', ASLEEP]]),
        });
        return new Map(runIds.map((id) => [id, found(id)]));
      },
    },
    reconcile: { fallAsleep: async (sleeps) => void asleep.push(...sleeps.map(({ run }) => run.id)) },
    log: { debug: () => undefined, info: () => undefined, warn, error: warn },
    now: () => 0,
  });
  return { fallAsleep, batches, asleep, warned };
}

test('runs that sleep are noted fifty at a time', async () => {
  const ids = Array.from({ length: 120 }, (_, n) => `r${n}`);
  const { fallAsleep, batches, asleep } = noting('none');
  await fallAsleep(ids);
  expect(batches.map(({ length }) => length)).toEqual([50, 50, 20]);
  expect(asleep).toEqual(ids);
});

test('beside one that cannot be read the others are noted, and the warning names that one', async () => {
  const { fallAsleep, asleep, warned } = noting('r1');
  await fallAsleep(['r0', 'r1', 'r2']);
  expect(asleep).toEqual(['r0', 'r2']);
  expect(warned).toEqual([{ event: 'sleep_not_noted', run_id: 'r1', error: 'it cannot be decrypted' }]);
});
