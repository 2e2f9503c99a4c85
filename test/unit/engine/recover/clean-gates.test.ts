import { expect, test } from 'vitest';
import { gateJobId } from '../../../../src/domain/graph/compile.ts';
import { cleanGates } from '../../../../src/engine/recover/clean-gates.ts';

function gatesOf(runs: readonly string[]) {
  const gates = runs.map((run, index) => gateJobId(run, 1, `from.${index}`, 'to'));
  const removed: string[] = [];
  return {
    gates,
    removed,
    queue: {
      gatePage: async (offset: number, limit: number) => gates.slice(offset, offset + limit),
      removeGates: async (ids: readonly string[]) => {
        removed.push(...ids);
        for (const id of ids) gates.splice(gates.indexOf(id), 1);
      },
    },
  };
}
const ended = (...final: string[]) => ({ ended: async () => new Set(final) });

test('gates of runs that have ended are removed, and those of live runs stay', async () => {
  const { queue, gates, removed } = gatesOf(['a', 'b.1', 'a', 'c']);
  expect(await cleanGates({ queue, runs: ended('a', 'b.1') }, 0)).toEqual({ next: 0, removed: 3 });
  expect(removed).toHaveLength(3);
  expect(gates).toEqual([gateJobId('c', 1, 'from.3', 'to')]);
});

test('page after page every gate is checked, also behind those of runs that live for long', async () => {
  const { queue, gates } = gatesOf([...Array.from({ length: 700 }, () => 'live'), 'gone', 'live', 'gone']);
  let next = 0;
  do next = (await cleanGates({ queue, runs: ended('gone') }, next)).next;
  while (next > 0);
  expect(gates).toHaveLength(701);
  expect(gates.some((id) => id.startsWith('gone'))).toBe(false);
});
