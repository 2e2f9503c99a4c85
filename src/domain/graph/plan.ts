/**
 * The plan of a version: how its actions become BullMQ flows. A flow is a tree in which a parent waits for its
 * children, so a dependency is a child of one dependent; each further dependent has a gate (an inert job) instead.
 * The plan is a pure function of the version: what is left of a run is this same plan with final actions left out,
 * never a new plan, because BullMQ silently ignores a child that is added again under another parent.
 */
import type { Action, Definition } from '../definition/definition.ts';
import { buildGraph, comparableWithAll, reduceDependencies } from './graph.ts';

export interface PlannedAction {
  index: number;
  action: Action;
  /** All declared and inferred dependencies; what `decide` checks. */
  dependsOn: number[];
  dependents: number[];
  /** Tree children: dependencies whose job is a child of this one. */
  children: number[];
  /** Dependencies for which a gate is a child of this job. */
  gatedBy: number[];
  /** Dependents that wait for a gate of this action. */
  gates: number[];
  segment: number;
  /** Longest way from a source; deeper tasks go first. */
  depth: number;
  /** Only of a compensation (`saga.ts`): the action that it compensates. */
  compensates?: PlannedAction;
  /** Only of an item or iteration (`parts.ts`): its parent action and its position. */
  item?: { of: PlannedAction; position: number };
}

/** One flow, added in one go. It ends in one action, or at the finalizer when several actions end the run. */
export interface Segment {
  /** Jobs that are nobody's child. More than one only where a tree would be too deep for one flow. */
  roots: number[];
  members: number[];
  /** The finalizer is the root above the sinks (`roots` that are not sinks stand beside it). */
  finalizer: boolean;
}

export interface Plan {
  definition: Definition;
  actions: PlannedAction[];
  byId: ReadonlyMap<string, PlannedAction>;
  segments: Segment[];
  /** Some action has a compensation: the finalizer ends every run, and decides whether to compensate. */
  isSaga: boolean;
  /** Actions that nothing depends on, in order. */
  sinks: number[];
  /** For an action that ends a segment: the number of the segment to add once it is final. */
  nextSegment(index: number): number | undefined;
}

/** Trees are walked by recursion, ours and others'; deeper than this a gate takes the place of the tree edge. */
const MAX_TREE_DEPTH = 200;

export function makePlan(definition: Definition): Plan {
  const built = buildGraph(
    definition.actions.map((action) => ({ id: action.action_id, dependsOn: action.depends_on })),
  );
  if (!built.ok) throw new Error(`a stored definition has a cycle: ${built.cycle.join(' -> ')}`);
  const { graph } = built;
  const size = graph.ids.length;

  const reduced = reduceDependencies(graph);
  const reducedDependents: number[][] = graph.ids.map(() => []);
  reduced.forEach((list, index) => {
    for (const dependency of list) reducedDependents[dependency]?.push(index);
  });

  const sinks = reducedDependents.flatMap((list, index) => (list.length === 0 ? [index] : []));
  const isSaga = definition.actions.some(({ compensate }) => compensate !== undefined);
  const { segments, segmentOf } = cutIntoSegments(reduced, reducedDependents, isSaga || sinks.length > 1);

  const actions = graph.inputIndex.map((inputIndex, index): PlannedAction => {
    const action = definition.actions[inputIndex];
    if (action === undefined) throw new Error('the graph has another action than the definition');
    return {
      index,
      action,
      dependsOn: graph.dependencies[index] ?? [],
      dependents: graph.dependents[index] ?? [],
      children: [],
      gatedBy: [],
      gates: [],
      segment: segmentOf[index] ?? 0,
      depth: 0,
    };
  });
  for (const planned of actions) {
    planned.depth = planned.dependsOn.reduce((depth, d) => Math.max(depth, (actions[d]?.depth ?? 0) + 1), 0);
  }

  // From the sinks upwards, so that a parent's position in its tree is known before its children's.
  const treeDepth = new Array<number>(size).fill(0);
  for (let index = size - 1; index >= 0; index -= 1) {
    const planned = actions[index];
    const segment = segments[planned?.segment ?? 0];
    if (planned === undefined || segment === undefined) continue;
    const inSegment = (reducedDependents[index] ?? []).filter((d) => actions[d]?.segment === planned.segment);
    const [first, ...others] = inSegment;
    if (first === undefined) {
      segment.roots.push(index);
      continue;
    }
    const depth = (treeDepth[first] ?? 0) + 1;
    const deep = depth > MAX_TREE_DEPTH;
    if (deep) segment.roots.push(index);
    else {
      treeDepth[index] = depth;
      actions[first]?.children.push(index);
    }
    for (const dependent of deep ? inSegment : others) {
      planned.gates.push(dependent);
      actions[dependent]?.gatedBy.push(index);
    }
  }

  // Siblings in the order in which they are written: so they run, and so they are shown.
  for (const { children, gatedBy } of actions) {
    children.reverse();
    gatedBy.reverse();
  }

  const lastSegment = segments.length - 1;
  return {
    definition,
    actions,
    byId: new Map(actions.map((planned) => [planned.action.action_id, planned])),
    segments,
    isSaga,
    sinks,
    nextSegment(index) {
      const segment = actions[index]?.segment;
      if (segment === undefined || segment === lastSegment) return undefined;
      return segments[segment]?.members.at(-1) === index ? segment + 1 : undefined;
    },
  };
}

/**
 * A flow ends at a cut point: an action with several dependents of which every other action is an ancestor or a
 * descendant. So 1 -> 10 -> 1 and the diamond need no gates. Long chains are cut as well, for the depth of the tree.
 */
function cutIntoSegments(
  dependencies: readonly number[][],
  dependents: readonly number[][],
  finalizer: boolean,
): { segments: Segment[]; segmentOf: number[] } {
  const comparable = comparableWithAll(dependencies, dependents);
  const segments: Segment[] = [];
  const segmentOf: number[] = [];
  let members: number[] = [];
  const last = dependencies.length - 1;
  for (let index = 0; index <= last; index += 1) {
    members.push(index);
    segmentOf.push(segments.length);
    const several = (dependents[index]?.length ?? 0) > 1;
    const cut = comparable[index] === true && (several || members.length >= MAX_TREE_DEPTH) && index < last;
    if (cut || index === last) {
      segments.push({ roots: [], members, finalizer: !cut && finalizer });
      members = [];
    }
  }
  return { segments, segmentOf };
}

/** With one sink its own commit ends the run; otherwise, and where something may have to be compensated, the finalizer does. */
export function endsRun(plan: Plan, index: number): boolean {
  return !plan.isSaga && plan.sinks.length === 1 && plan.sinks[0] === index;
}
