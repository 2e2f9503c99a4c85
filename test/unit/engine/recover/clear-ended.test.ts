import { expect, test } from 'vitest';
import { taskJobId } from '../../../../src/domain/graph/compile.ts';
import { createClearEnded } from '../../../../src/engine/recover/clear-ended.ts';

type State = 'delayed' | 'waiting-children';

function leftBehind(lanes: Record<string, string[]>, states: readonly State[] = ['delayed', 'waiting-children']) {
  const key = (state: State, lane: string) => `${state} ${lane}`;
  const jobs = new Map(
    Object.entries(lanes).flatMap(([lane, runs]) =>
      states.map((state) => [key(state, lane), runs.map((run, n) => taskJobId(run, 1, `a.${n}`))] as const),
    ),
  );
  const leave = (state: State) => async (gone: ReadonlyArray<{ queue: string; jobId: string }>) => {
    for (const { queue, jobId } of gone) {
      const ids = jobs.get(key(state, queue)) ?? [];
      ids.splice(ids.indexOf(jobId), 1);
    }
    return true;
  };
  return {
    left: (state: State) => Object.keys(lanes).map((lane) => jobs.get(key(state, lane))?.length),
    queue: {
      jobPage: async (lane: string, state: State, offset: number, limit: number) =>
        (jobs.get(key(state, lane)) ?? []).slice(offset, offset + limit),
      promote: async (due: Parameters<ReturnType<typeof leave>>[0]) => void (await leave('delayed')(due)),
      removeTrees: leave('waiting-children'),
    },
  };
}
const ended = (...final: string[]) => ({ ended: async () => new Set(final) });

test('of a run that has ended, what sleeps is made due and what waits for children is removed; that of a live one stays', async () => {
  const { queue, left } = leftBehind({ wait: ['a', 'b.1', 'c'], test_task: ['a'], transform: [] });
  const clear = createClearEnded({ queue, runs: ended('a', 'b.1') }, ['wait', 'test_task', 'transform']);
  expect(await clear()).toEqual({ delayed: 3, 'waiting-children': 3 });
  expect(left('delayed')).toEqual([1, 0, 0]);
  expect(left('waiting-children')).toEqual([1, 0, 0]);
});

test.each<State>(['delayed', 'waiting-children'])(
  'call after call every %s job is checked, also behind live ones',
  async (state) => {
    const live = (count: number) => Array.from({ length: count }, () => 'live');
    const { queue, left } = leftBehind({ wait: [...live(450), 'gone', ...live(3), 'gone'] }, [state]);
    const clear = createClearEnded({ queue, runs: ended('gone') }, ['wait']);
    const calls = async () => [await clear(), await clear(), await clear()].map((cleared) => cleared[state]);
    expect(await calls()).toEqual([0, 0, 2]);
    expect(left(state)).toEqual([453]);
    expect(await calls()).toEqual([0, 0, 0]);
  },
);
