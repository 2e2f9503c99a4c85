import { expect, test } from 'vitest';
import {
  buildGraph,
  comparableWithAll,
  type Graph,
  type Node,
  reduceDependencies,
} from '../../../../src/domain/graph/graph.ts';
import { type Edges, numbers } from '../../../harness/dags.ts';

const nodes = (edges: Edges): Node[] => Object.entries(edges).map(([id, dependsOn]) => ({ id, dependsOn }));
function graphOf(edges: Edges | Node[]): Graph {
  const built = buildGraph(Array.isArray(edges) ? edges : nodes(edges));
  if (!built.ok) throw new Error(`cycle: ${built.cycle.join(' -> ')}`);
  return built.graph;
}
/** `c: a, b` for every node that depends on something. */
const readable = ({ ids }: Graph, dependencies: number[][]) =>
  Object.fromEntries(
    dependencies.flatMap((list, index) =>
      list.length === 0 ? [] : [[ids[index] ?? '', list.map((d) => ids[d] ?? '').sort()]],
    ),
  );

test('nodes come after what they depend on, and otherwise in the order in which they were written', () => {
  expect(graphOf({ z: [], a: [], m: ['z'], b: [] }).ids).toEqual(['z', 'a', 'm', 'b']);
  expect(graphOf({ last: ['first', 'second'], second: ['first'], first: [] }).ids).toEqual(['first', 'second', 'last']);
  expect(graphOf([]).ids).toEqual([]);
});

test('a dependency that is named twice counts once, and one that is no node does not count', () => {
  const graph = graphOf({ a: [], b: ['a', 'a', 'nowhere'] });
  expect(graph.dependencies).toEqual([[], [0]]);
  expect(graph.dependents).toEqual([[1], []]);
});

test('a cycle is named as it is read, without what only leads into it', () => {
  const cycleOf = (edges: Edges) => {
    const built = buildGraph(nodes(edges));
    return built.ok ? undefined : built.cycle;
  };
  expect(cycleOf({ a: ['a'] })).toEqual(['a', 'a']);
  expect(cycleOf({ a: ['b'], b: ['a'] })).toEqual(['a', 'b', 'a']);
  expect(cycleOf({ fine: [], before: ['a', 'fine'], a: ['c', 'fine'], b: ['a'], c: ['b'] })).toEqual([
    'a',
    'c',
    'b',
    'a',
  ]);
});

test('the reduction leaves out what other dependencies imply', () => {
  const graph = graphOf({ a: [], b: ['a'], c: ['b', 'a'], d: ['a', 'c'], e: ['a', 'b', 'c', 'd'] });
  expect(readable(graph, reduceDependencies(graph))).toEqual({ b: ['a'], c: ['b'], d: ['c'], e: ['d'] });
});

test('the reduction of a diamond is the diamond', () => {
  const graph = graphOf({ a: [], b: ['a'], c: ['a'], d: ['a', 'b', 'c'] });
  expect(readable(graph, reduceDependencies(graph))).toEqual({ b: ['a'], c: ['a'], d: ['b', 'c'] });
});

test('ancestors beyond the first machine word are seen', () => {
  const chain = numbers(0, 100).map((n): Node => ({ id: `n${n}`, dependsOn: numbers(0, n).map((d) => `n${d}`) }));
  const graph = graphOf(chain);
  expect(reduceDependencies(graph)).toEqual([[], ...numbers(0, 99).map((n) => [n])]);
});

test('nodes that every other node comes before or after are found', () => {
  const comparable = (edges: Edges) => {
    const graph = graphOf(edges);
    const flags = comparableWithAll(graph.dependencies, graph.dependents);
    return graph.ids.filter((_, index) => flags[index]);
  };
  expect(comparable({ a: [], b: ['a'], c: ['a'], d: ['b', 'c'] })).toEqual(['a', 'd']);
  expect(comparable({ a: [], b: ['a'], c: ['b'] })).toEqual(['a', 'b', 'c']);
  expect(comparable({ a: [], b: ['a'], c: ['b'], aside: [] })).toEqual([]);
  expect(comparable({ a: [], b: ['a'], c: ['a'], d: ['b'], e: ['c', 'b'] })).toEqual(['a']);
});

test('ten thousand actions are ordered and reduced in reasonable time, wide and deep', { timeout: 20_000 }, () => {
  const size = 10_000;
  const wide: Node[] = numbers(0, size).map((n) => ({
    id: `n${n}`,
    dependsOn: n === 0 ? [] : n === size - 1 ? numbers(0, size - 1).map((d) => `n${d}`) : ['n0'],
  }));
  const deep: Node[] = numbers(0, size).map((n) => ({ id: `n${n}`, dependsOn: n === 0 ? [] : [`n${n - 1}`] }));
  // A fixed sequence: what is tested is the work, not the shape.
  let seed = 1;
  const next = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  const tangled: Node[] = numbers(0, size).map((n) => ({
    id: `n${n}`,
    dependsOn: n === 0 ? [] : numbers(0, 20).map(() => `n${next(n)}`),
  }));
  const began = performance.now();
  expect(reduceDependencies(graphOf(wide)).at(-1)).toEqual(numbers(1, size - 1));
  expect(reduceDependencies(graphOf(deep)).at(-1)).toEqual([size - 2]);
  expect(reduceDependencies(graphOf(tangled))).toHaveLength(size);
  expect(performance.now() - began).toBeLessThan(30_000);
});
