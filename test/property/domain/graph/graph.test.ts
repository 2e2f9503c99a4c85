import fc from 'fast-check';
import { expect, test } from 'vitest';
import { buildGraph, comparableWithAll, type Graph, reduceDependencies } from '../../../../src/domain/graph/graph.ts';
import { dags, type Edges, numbers } from '../../../harness/dags.ts';

function graphOf(edges: Edges): Graph {
  const built = buildGraph(Object.entries(edges).map(([id, dependsOn]) => ({ id, dependsOn })));
  if (!built.ok) throw new Error(`cycle: ${built.cycle.join(' -> ')}`);
  return built.graph;
}

/** Which nodes come before each, by plain walking. */
function ancestors(dependencies: readonly number[][]): Array<Set<number>> {
  const all: Array<Set<number>> = [];
  for (const list of dependencies) {
    all.push(new Set(list.flatMap((dependency) => [dependency, ...(all[dependency] ?? [])])));
  }
  return all;
}
const sorted = (set: ReadonlySet<number> | undefined) => [...(set ?? [])].sort((a, b) => a - b);

test('every node comes after all that it depends on, and the order is the smallest by place in the input', () => {
  fc.assert(
    fc.property(dags(14), (edges) => {
      const { ids, inputIndex, dependencies } = graphOf(edges);
      expect([...ids].sort()).toEqual(Object.keys(edges).sort());
      const done = new Set<number>();
      for (const [at, input] of inputIndex.entries()) {
        for (const dependency of dependencies[at] ?? []) expect(dependency).toBeLessThan(at);
        const ready = numbers(0, ids.length).filter(
          (node) => !done.has(node) && (dependencies[node] ?? []).every((d) => done.has(d)),
        );
        expect(Math.min(...ready.map((node) => inputIndex[node] ?? 0))).toBe(input);
        done.add(at);
      }
    }),
  );
});

test('the reduction keeps who comes before whom, and no edge of it can be spared', () => {
  fc.assert(
    fc.property(dags(14), (edges) => {
      const graph = graphOf(edges);
      const reduced = reduceDependencies(graph);
      const before = ancestors(graph.dependencies);
      expect(ancestors(reduced).map(sorted)).toEqual(before.map(sorted));
      for (const [node, list] of reduced.entries()) {
        for (const spared of list) {
          const others = list.filter((dependency) => dependency !== spared);
          expect(others.some((other) => before[other]?.has(spared))).toBe(false);
          expect(graph.dependencies[node]).toContain(spared);
        }
      }
    }),
  );
});

test('a node is comparable with all exactly when every other one comes before or after it', () => {
  fc.assert(
    fc.property(dags(12), (edges) => {
      const graph = graphOf(edges);
      const before = ancestors(graph.dependencies);
      const all = numbers(0, graph.ids.length);
      const expected = all.map((node) =>
        all.every((other) => other === node || before[node]?.has(other) || before[other]?.has(node)),
      );
      expect(comparableWithAll(graph.dependencies, graph.dependents)).toEqual(expected);
    }),
  );
});

test('a cycle is found wherever there is one, and each of its names depends on the next', () => {
  const withBackEdge = dags(12).chain((edges) => {
    const ids = Object.keys(edges);
    return fc.record({ edges: fc.constant(edges), from: fc.constantFrom(...ids), to: fc.constantFrom(...ids) });
  });
  fc.assert(
    fc.property(withBackEdge, ({ edges, from, to }) => {
      const changed: Edges = { ...edges, [from]: [...(edges[from] ?? []), to] };
      const built = buildGraph(Object.entries(changed).map(([id, dependsOn]) => ({ id, dependsOn })));
      const reachable = new Set([to]);
      for (const id of reachable) for (const next of edges[id] ?? []) reachable.add(next);
      expect(built.ok).toBe(!reachable.has(from));
      if (built.ok) return;
      expect(built.cycle.length).toBeGreaterThan(1);
      expect(built.cycle.at(-1)).toBe(built.cycle[0]);
      for (const [at, id] of built.cycle.slice(0, -1).entries()) expect(changed[id]).toContain(built.cycle[at + 1]);
    }),
  );
});
