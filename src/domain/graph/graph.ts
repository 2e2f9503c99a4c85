/** Directed acyclic graphs of actions, by index. Pure, and linear in nodes and edges but for the transitive reduction. */

export interface Node {
  id: string;
  dependsOn: readonly string[];
}

/** Nodes in topological order (stable: among ready nodes the one written first); `dependencies[i]` are indices below `i`. */
export interface Graph {
  ids: string[];
  /** Where the node stood in the input. */
  inputIndex: number[];
  dependencies: number[][];
  dependents: number[][];
}

export type GraphResult = { ok: true; graph: Graph } | { ok: false; cycle: string[] };

/** Every id in `dependsOn` must be a node; names of unknown nodes are ignored (the caller has rejected them). */
export function buildGraph(nodes: readonly Node[]): GraphResult {
  const indexOf = new Map(nodes.map((node, index) => [node.id, index]));
  const dependencies = nodes.map((node) => [
    ...new Set(node.dependsOn.map((id) => indexOf.get(id)).filter((index) => index !== undefined)),
  ]);
  const dependents: number[][] = nodes.map(() => []);
  const open = dependencies.map((list, index) => {
    for (const dependency of list) dependents[dependency]?.push(index);
    return list.length;
  });

  const ready = new MinHeap();
  open.forEach((count, index) => {
    if (count === 0) ready.push(index);
  });
  const order: number[] = [];
  for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
    order.push(next);
    for (const dependent of dependents[next] ?? []) {
      const left = (open[dependent] ?? 0) - 1;
      open[dependent] = left;
      if (left === 0) ready.push(dependent);
    }
  }
  if (order.length < nodes.length) return { ok: false, cycle: findCycle(nodes, dependencies, new Set(order)) };

  const position = new Map(order.map((inputIndex, index) => [inputIndex, index]));
  const renumber = (list: readonly number[]) => list.map((index) => position.get(index) ?? 0).sort((a, b) => a - b);
  return {
    ok: true,
    graph: {
      ids: order.map((index) => nodes[index]?.id ?? ''),
      inputIndex: order,
      dependencies: order.map((index) => renumber(dependencies[index] ?? [])),
      dependents: order.map((index) => renumber(dependents[index] ?? [])),
    },
  };
}

/** The cycle as it is read: each name depends on the next, the last is the first again. */
function findCycle(nodes: readonly Node[], dependencies: readonly number[][], done: ReadonlySet<number>): string[] {
  const path: number[] = [];
  const at = new Map<number, number>();
  let current = nodes.findIndex((_, index) => !done.has(index));
  // Every node that is left depends on one that is left, so this walk must come back to itself.
  while (!at.has(current)) {
    at.set(current, path.length);
    path.push(current);
    current = dependencies[current]?.find((index) => !done.has(index)) ?? current;
  }
  return [...path.slice(at.get(current)), current].map((index) => nodes[index]?.id ?? '');
}

/**
 * The transitive reduction: the dependencies that are not implied by others. The ancestors of a node are a bit set, so
 * this takes edges x nodes / 32 steps and nodes^2 / 8 bytes for its duration.
 */
export function reduceDependencies(graph: Graph): number[][] {
  const size = graph.ids.length;
  const words = Math.ceil(size / 32);
  const ancestors: Uint32Array[] = [];
  return graph.dependencies.map((list) => {
    const covered = new Uint32Array(words);
    const direct: number[] = [];
    // The latest first: what it implies lies before it.
    for (let i = list.length - 1; i >= 0; i -= 1) {
      const dependency = list[i] ?? 0;
      const word = dependency >>> 5;
      const bit = 1 << (dependency & 31);
      if (((covered[word] ?? 0) & bit) !== 0) continue;
      direct.push(dependency);
      const of = ancestors[dependency];
      if (of !== undefined) for (let w = 0; w <= word; w += 1) covered[w] = (covered[w] ?? 0) | (of[w] ?? 0);
      covered[word] = (covered[word] ?? 0) | bit;
    }
    ancestors.push(covered);
    return direct.reverse();
  });
}

/** Which nodes have every other node as an ancestor or a descendant. */
export function comparableWithAll(dependencies: readonly number[][], dependents: readonly number[][]): boolean[] {
  const size = dependencies.length;
  // Before node i in the order all have a path to it exactly when no other node before it is still without a dependent.
  const after = funnels(size, (i) => i, dependencies);
  const before = funnels(size, (i) => size - 1 - i, dependents);
  return after.map((funnel, index) => funnel && before[index] === true);
}

function funnels(size: number, at: (step: number) => number, sources: readonly number[][]): boolean[] {
  const open = new Set<number>();
  const result = new Array<boolean>(size).fill(false);
  for (let step = 0; step < size; step += 1) {
    const node = at(step);
    for (const source of sources[node] ?? []) open.delete(source);
    open.add(node);
    result[node] = open.size === 1;
  }
  return result;
}

class MinHeap {
  readonly #items: number[] = [];

  push(value: number): void {
    const items = this.#items;
    items.push(value);
    let i = items.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if ((items[parent] ?? 0) <= value) break;
      items[i] = items[parent] ?? 0;
      i = parent;
    }
    items[i] = value;
  }

  pop(): number | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && (items[child + 1] ?? 0) < (items[child] ?? 0)) child += 1;
      if ((items[child] ?? 0) >= last) break;
      items[i] = items[child] ?? 0;
      i = child;
    }
    items[i] = last;
    return first;
  }
}
