import { describe, expect } from 'vitest';
import { statuses } from '../harness/client/client.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, type TestAction, workflow } from '../support/test-task.ts';

/** An action whose output holds the sum of what it depends on, plus one: any order mistake changes the result. */
function adding(id: string, dependsOn: readonly string[]): TestAction {
  const sum = ['1', ...dependsOn.map((dependency) => `${dependency}.n`)].join(' + ');
  return {
    action_id: id,
    action_type: 'transform',
    config: { expression: `{'n': ${sum}}` },
    depends_on: [...dependsOn],
  };
}

/** The same sums, without the engine. */
function sums(actions: readonly TestAction[]): Record<string, number> {
  const byId = new Map(actions.map((action) => [action.action_id, action]));
  const known = new Map<string, number>();
  const sum = (id: string): number => {
    const found = known.get(id);
    if (found !== undefined) return found;
    const dependsOn = (byId.get(id)?.['depends_on'] ?? []) as string[]; // Made by `adding`.
    const own = dependsOn.reduce((total, dependency) => total + sum(dependency), 1);
    known.set(id, own);
    return own;
  };
  return Object.fromEntries(actions.map(({ action_id }) => [action_id, sum(action_id)]));
}

const SHAPES: Record<string, Record<string, string[]>> = {
  'one action': { a: [] },
  'a chain': { a: [], b: ['a'], c: ['b'], d: ['c'] },
  'a fan-out': { a: [], b: ['a'], c: ['a'], d: ['a'] },
  'a fan-in': { a: [], b: [], c: [], d: ['a', 'b', 'c'] },
  'a diamond': { a: [], b: ['a'], c: ['a'], d: ['b', 'c'] },
  'two diamonds in a row': { a: [], b: ['a'], c: ['a'], d: ['b', 'c'], e: ['d'], f: ['d'], g: ['e', 'f'] },
  'a diamond with a shortcut': { a: [], b: ['a'], c: ['a'], d: ['a', 'b', 'c'] },
  'crossed dependencies': { a: [], b: [], c: ['a', 'b'], d: ['a', 'b'], e: ['c', 'd'], f: ['c', 'd'] },
  'many sinks': { a: [], b: [], c: ['a', 'b'], d: ['b'], e: ['b'] },
  'disconnected parts': { a: [], b: ['a'], c: [], d: ['c'], e: [] },
  'a ladder': { a: [], b: [], c: ['a'], d: ['a', 'b'], e: ['c', 'd'], f: ['d'], g: ['e', 'f'], h: ['f'] },
};

describe.each(onBothBackends({ workers: 2 }))('graphs on $backend', ({ test }) => {
  for (const [shape, edges] of Object.entries(SHAPES)) {
    test(`${shape} completes, each action after all that it depends on`, async ({ api }) => {
      const actions = Object.entries(edges).map(([id, dependsOn]) => adding(id, dependsOn));
      const run = await api.run(workflow(actions.reverse()));
      expect(run.status).toBe('completed');
      const outputs = Object.fromEntries(
        run.tasks.map(({ action_id, output }) => [action_id, (output as { n: number }).n]),
      ); // Made by `adding`.
      expect(outputs).toEqual(sums(actions));
      const depended = new Set(Object.values(edges).flat());
      expect(Object.keys(run.output as object).sort()).toEqual(Object.keys(edges).filter((id) => !depended.has(id)));
    });
  }

  test('a thousand actions, one to 998 to one, complete', async ({ api }) => {
    const middle = Array.from({ length: 998 }, (_, n) => echo(`m${n}`, ['first'], { n }));
    const run = await api.run(
      workflow([
        echo('first'),
        ...middle,
        echo(
          'last',
          middle.map(({ action_id }) => action_id),
          { far: '{{m997.n}}' },
        ),
      ]),
    );
    expect(run).toMatchObject({
      status: 'completed',
      output: { last: { far: 997 } },
      progress: { total: 1_000, completed: 1_000 },
    });
  });

  test('a chain of a thousand actions completes', async ({ api }) => {
    const actions = Array.from({ length: 1_000 }, (_, n) =>
      n === 0 ? echo('a0', [], { n: 0 }) : echo(`a${n}`, [`a${n - 1}`], { n, before: `{{a${n - 1}.n}}` }),
    );
    const run = await api.run(workflow(actions));
    expect(run).toMatchObject({
      status: 'completed',
      output: { a999: { n: 999, before: 998 } },
      progress: { completed: 1_000 },
    });
  });

  test('a thousand actions that depend on each other at random complete', async ({ api }) => {
    // A linear congruence: the same graph every time.
    let state = 20_240_601;
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((state / 2_147_483_648) * below);
    };
    const actions = Array.from({ length: 1_000 }, (_, n) => {
      const count = n === 0 ? 0 : random(4);
      return echo(`a${n}`, [...new Set(Array.from({ length: count }, () => `a${random(n)}`))]);
    });
    const run = await api.run(workflow(actions));
    expect(run).toMatchObject({ status: 'completed', progress: { total: 1_000, completed: 1_000 } });
  });

  test('a thousand actions without any dependency complete', async ({ api }) => {
    const run = await api.run(workflow(Array.from({ length: 1_000 }, (_, n) => echo(`a${n}`))));
    expect(run).toMatchObject({ status: 'completed', progress: { completed: 1_000 } });
  });

  test('action ids of any allowed spelling are kept apart', async ({ api }) => {
    const ids = ['a:b', 'a.b', 'a-b', 'a_b', '1', 'a', 'A'];
    const run = await api.run(workflow(ids.map((id, n) => echo(id, n === 0 ? [] : [ids[n - 1] ?? '']))));
    expect(statuses(run)).toEqual(Object.fromEntries(ids.map((id) => [id, 'completed'])));
  });

  test('fifty runs of one workflow at the same time do not touch each other', async ({ api }) => {
    const id = await api.createWorkflow(
      workflow(
        [
          echo('a', [], { n: '{{n}}' }),
          echo('b', ['a'], { n: '{{a.n}}' }),
          echo('c', ['a'], { n: '{{a.n}}' }),
          echo('d', ['b', 'c'], { b: '{{b.n}}', c: '{{c.n}}' }),
        ],
        {
          parameters: [{ name: 'n', type: 'integer' }],
        },
      ),
    );
    const runs = await Promise.all(Array.from({ length: 50 }, (_, n) => api.execute(id, { parameters: { n } })));
    for (const [n, run] of runs.entries())
      expect(await api.finished(run)).toMatchObject({ status: 'completed', output: { d: { b: n, c: n } } });
  });
});
