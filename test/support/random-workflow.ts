/** Random workflows, and what becomes of them by the rules alone: a plain evaluation that shares nothing with the engine. */
import fc from 'fast-check';
import { dags, type Edges } from './dags.ts';
import type { TestAction } from './test-task.ts';

export type Behaviour = 'succeed' | 'flaky' | 'fail' | 'fail_twice';
export interface RandomAction {
  behaviour: Behaviour;
  onFailure: 'fail' | 'continue';
  runIf: 'all_succeeded' | 'all_done' | 'any_succeeded';
  /** undefined: no condition. */
  when: boolean | undefined;
  /** Milliseconds of work, so that the order of the ends is not that of the starts. */
  workMs: number;
  priority: number | undefined;
  /** How each dependency is named: in `depends_on`, in a template, or in both. */
  naming: 'declared' | 'template' | 'both';
}
export interface RandomWorkflow {
  edges: Edges;
  actions: Map<string, RandomAction>;
}

const action: fc.Arbitrary<RandomAction> = fc.record({
  behaviour: fc.oneof(
    { weight: 7, arbitrary: fc.constant('succeed' as const) },
    { weight: 3, arbitrary: fc.constantFrom<Behaviour>('flaky', 'fail', 'fail_twice') },
  ),
  onFailure: fc.constantFrom('fail', 'continue'),
  runIf: fc.oneof(
    { weight: 4, arbitrary: fc.constant('all_succeeded' as const) },
    { weight: 1, arbitrary: fc.constantFrom('all_done', 'any_succeeded') },
  ),
  when: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.boolean() }),
  workMs: fc.integer({ min: 0, max: 20 }),
  priority: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
  naming: fc.constantFrom('declared', 'template', 'both'),
});

export function randomWorkflows(maxSize: number): fc.Arbitrary<RandomWorkflow> {
  return dags(maxSize).chain((edges) => {
    const ids = Object.keys(edges);
    return fc
      .tuple(...ids.map(() => action))
      .map((actions) => ({ edges, actions: new Map(actions.map((one, n) => [ids[n] ?? '', one])) }));
  });
}

/** As a client would send it. */
export function definitionOfRandom({ edges, actions }: RandomWorkflow): object {
  const sent = [...actions].map(([id, one], index): TestAction => {
    const dependencies = edges[id] ?? [];
    return {
      action_id: id,
      action_type: 'test_task',
      config: configOf(
        id,
        one,
        one.naming === 'declared' ? [] : dependencies,
        (dependency) => `{{${dependency}.n}}`,
        index,
      ),
      ...(one.naming === 'template' ? {} : { depends_on: dependencies }),
      ...(one.when === undefined ? {} : { when: `params.${one.when ? 'yes' : 'no'}` }),
      run_if: one.runIf,
      on_failure: one.onFailure,
      retry: { max_attempts: one.behaviour === 'fail' ? 1 : 2, backoff: 'fixed', initial_delay_seconds: 0.01 },
      ...(one.priority === undefined ? {} : { priority: one.priority }),
    };
  });
  const parameters = ['yes', 'no'].map((name) => ({ name, type: 'boolean', default: name === 'yes' }));
  return { name: 'random', parameters, actions: sent };
}

function configOf<T>(
  id: string,
  one: RandomAction,
  dependencies: readonly string[],
  value: (dependency: string) => T,
  index: number,
): Record<string, unknown> {
  return {
    n: index,
    duration: one.workMs / 1000,
    from: dependencies.map(value),
    ...(one.behaviour === 'succeed' ? {} : { fail_with: `${id} failed` }),
    ...(one.behaviour === 'flaky' ? { fail_attempts: 1 } : {}),
  };
}

export interface Expected {
  status: 'completed' | 'failed';
  /** By action. */
  tasks: Record<string, { status: string; output: unknown; attempts: number }>;
  /** Of the run; null when it failed. */
  output: unknown;
}

export function evaluate(workflow: RandomWorkflow): Expected {
  const { edges, actions } = workflow;
  const index = new Map([...actions.keys()].map((id, n) => [id, n]));
  const tasks: Expected['tasks'] = {};
  const settle = (id: string): Expected['tasks'][string] => {
    const known = tasks[id];
    if (known !== undefined) return known;
    const one = actions.get(id);
    if (one === undefined) throw new Error(`no action ${id}`);
    const dependencies = edges[id] ?? [];
    const before = dependencies.map((dependency) => ({ id: dependency, ...settle(dependency) }));
    const ended = becomes(workflow, one, before);
    const failed = one.behaviour === 'fail' || one.behaviour === 'fail_twice';
    const status = ended ?? (failed ? 'failed' : 'completed');
    const attempts = ended !== undefined ? 0 : one.behaviour === 'flaky' || one.behaviour === 'fail_twice' ? 2 : 1;
    const named = one.naming === 'declared' ? [] : dependencies;
    const numberOf = (dependency: string) => (settle(dependency).status === 'completed' ? index.get(dependency) : null);
    const output = status === 'completed' ? configOf(id, one, named, numberOf, index.get(id) ?? 0) : null;
    tasks[id] = { status, output, attempts };
    return tasks[id];
  };
  for (const id of actions.keys()) settle(id);
  const status = [...actions].some(([id, one]) => tasks[id]?.status === 'failed' && one.onFailure === 'fail')
    ? 'failed'
    : 'completed';
  const depended = new Set(Object.values(edges).flat());
  const sinks = [...actions.keys()].filter((id) => !depended.has(id));
  return {
    status,
    tasks,
    output: status === 'failed' ? null : Object.fromEntries(sinks.map((id) => [id, tasks[id]?.output ?? null])),
  };
}

/** What an action becomes without being run; undefined: it is run. */
function becomes(
  { actions }: RandomWorkflow,
  one: RandomAction,
  before: ReadonlyArray<{ id: string; status: string }>,
): string | undefined {
  const some = (...statuses: string[]) => before.some(({ status }) => statuses.includes(status));
  const isTolerated = (id: string) => actions.get(id)?.onFailure === 'continue';
  if (before.length > 0 && one.runIf === 'all_succeeded') {
    if (before.some(({ id, status }) => status === 'upstream_failed' || (status === 'failed' && !isTolerated(id))))
      return 'upstream_failed';
    if (before.every(({ status }) => status === 'skipped')) return 'skipped';
  }
  if (before.length > 0 && one.runIf === 'any_succeeded' && !some('completed'))
    return some('failed', 'upstream_failed') ? 'upstream_failed' : 'skipped';
  return one.when === false ? 'skipped' : undefined;
}
