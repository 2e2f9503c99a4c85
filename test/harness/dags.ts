/** Definitions for tests of the engine: by hand from edges, and at random. */
import fc from 'fast-check';
import { type Action, DEFAULT_RETRY, type Definition } from '../../src/domain/definition/definition.ts';
import { makePlan, type Plan } from '../../src/domain/graph/plan.ts';

/** `{c: ['a', 'b']}`: c depends on a and b. Actions are written in the order of the keys. */
export type Edges = Record<string, readonly string[]>;

export function definitionOf(
  edges: Edges,
  change: (actionId: string) => Partial<Action> = () => ({}),
  rest: Partial<Definition> = {},
): Definition {
  return {
    name: 'test',
    tags: [],
    parameters: [],
    actions: Object.entries(edges).map(([action_id, depends_on]) => ({
      action_id,
      action_type: 'test_task',
      config: {},
      depends_on: [...depends_on],
      run_if: 'all_succeeded',
      retry: DEFAULT_RETRY,
      timeout_seconds: 300,
      on_failure: 'fail',
      ...change(action_id),
    })),
    ...rest,
  };
}

export function planOf(edges: Edges): Plan {
  return makePlan(definitionOf(edges));
}

export function indexOf(plan: Plan, actionId: string): number {
  const planned = plan.byId.get(actionId);
  if (planned === undefined) throw new Error(`no action '${actionId}'`);
  return planned.index;
}

export function idsOf(plan: Plan, indices: readonly number[]): string[] {
  return indices.map((index) => plan.actions[index]?.action.action_id ?? '');
}

export const DIAMOND: Edges = { a: [], b: ['a'], c: ['a'], d: ['b', 'c'] };

/** Dependencies of `size` nodes, written in any order; `window`: how far back a node may look, which makes cut points. */
export function dags(maxSize: number): fc.Arbitrary<Edges> {
  const ofShape = fc
    .record({ size: fc.integer({ min: 1, max: maxSize }), window: fc.constantFrom(2, 3, maxSize) })
    .chain(({ size, window }) =>
      fc.record({
        dependencies: fc.tuple(
          ...Array.from({ length: size }, (_, node) => fc.subarray(numbers(Math.max(0, node - window), node))),
        ),
        order: fc.shuffledSubarray(numbers(0, size), { minLength: size, maxLength: size }),
      }),
    );
  return ofShape.map(({ dependencies, order }) =>
    Object.fromEntries(order.map((node) => [name(node), (dependencies[node] ?? []).map(name)])),
  );
}

// Names whose order of letters is not the order of the graph.
function name(node: number): string {
  return `n${(node * 7) % 101}`;
}

export function numbers(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, offset) => from + offset);
}
