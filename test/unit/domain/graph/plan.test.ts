import { describe, expect, test } from 'vitest';
import { compileSegment, type FlowNode } from '../../../../src/domain/graph/compile.ts';
import { endsRun, type Plan } from '../../../../src/domain/graph/plan.ts';
import { DIAMOND, type Edges, idsOf, indexOf, numbers, planOf } from '../../../harness/dags.ts';

const gatesIn = (plan: Plan) =>
  plan.actions.flatMap(({ action, gates }) => idsOf(plan, gates).map((to) => `${action.action_id} -> ${to}`));
const segmentsOf = (plan: Plan) => plan.segments.map(({ members }) => idsOf(plan, members).sort());
const childrenOf = (plan: Plan) =>
  Object.fromEntries(
    plan.actions.flatMap(({ action, children }) =>
      children.length === 0 ? [] : [[action.action_id, idsOf(plan, children).sort()]],
    ),
  );
const followers = (plan: Plan) =>
  plan.actions.flatMap(({ index, action }) => {
    const next = plan.nextSegment(index);
    return next === undefined ? [] : [[action.action_id, next]];
  });

describe('shapes that need no gates', () => {
  test('one action is one job that ends the run', () => {
    const plan = planOf({ only: [] });
    expect(segmentsOf(plan)).toEqual([['only']]);
    expect(endsRun(plan, 0)).toBe(true);
    expect(plan.segments[0]?.finalizer).toBe(false);
    expect(plan.nextSegment(0)).toBeUndefined();
  });

  test('a chain is one tree, the last action its root', () => {
    const plan = planOf({ a: [], b: ['a'], c: ['b'] });
    expect(segmentsOf(plan)).toEqual([['a', 'b', 'c']]);
    expect(childrenOf(plan)).toEqual({ b: ['a'], c: ['b'] });
    expect(gatesIn(plan)).toEqual([]);
  });

  test('one, then ten, then one is two flows: the first ends in the one that the ten wait for', () => {
    const ten = numbers(0, 10).map((n) => `m${n}`);
    const plan = planOf({ start: [], ...Object.fromEntries(ten.map((id) => [id, ['start']])), end: ten });
    expect(segmentsOf(plan)).toEqual([['start'], [...ten, 'end'].sort()]);
    expect(childrenOf(plan)).toEqual({ end: ten });
    expect(gatesIn(plan)).toEqual([]);
    expect(followers(plan)).toEqual([['start', 1]]);
  });

  test('so is a diamond', () => {
    const plan = planOf(DIAMOND);
    expect(segmentsOf(plan)).toEqual([['a'], ['b', 'c', 'd']]);
    expect(gatesIn(plan)).toEqual([]);
    expect(endsRun(plan, indexOf(plan, 'd'))).toBe(true);
    expect(endsRun(plan, indexOf(plan, 'a'))).toBe(false);
  });

  test('two diamonds in a row are three flows, each added by the end of the one before', () => {
    const plan = planOf({ ...DIAMOND, e: ['d'], f: ['d'], g: ['e', 'f'] });
    expect(segmentsOf(plan)).toEqual([['a'], ['b', 'c', 'd'], ['e', 'f', 'g']]);
    expect(gatesIn(plan)).toEqual([]);
    expect(followers(plan)).toEqual([
      ['a', 1],
      ['d', 2],
    ]);
  });

  test('an edge that others imply makes no gate', () => {
    const plan = planOf({ a: [], b: ['a'], c: ['a', 'b'] });
    expect(gatesIn(plan)).toEqual([]);
    expect(plan.actions[indexOf(plan, 'c')]?.dependsOn).toEqual([indexOf(plan, 'a'), indexOf(plan, 'b')]);
  });
});

describe('shapes that need more', () => {
  test('a further dependent inside a flow waits for a gate', () => {
    // b and c share a and are no cut points of each other's: s stands beside them all.
    const plan = planOf({ a: [], s: [], b: ['a'], c: ['a'], d: ['b', 'c', 's'] });
    expect(segmentsOf(plan)).toEqual([['a', 'b', 'c', 'd', 's']]);
    expect(childrenOf(plan)).toEqual({ b: ['a'], d: ['b', 'c', 's'] });
    expect(gatesIn(plan)).toEqual(['a -> c']);
    expect(idsOf(plan, plan.actions[indexOf(plan, 'c')]?.gatedBy ?? [])).toEqual(['a']);
  });

  test('several last actions have the finalizer above them, and none of them ends the run', () => {
    const plan = planOf({ a: [], x: ['a'], y: ['a'], z: ['a'] });
    expect(segmentsOf(plan)).toEqual([['a'], ['x', 'y', 'z']]);
    expect(plan.segments.map(({ finalizer }) => finalizer)).toEqual([false, true]);
    expect(idsOf(plan, plan.sinks)).toEqual(['x', 'y', 'z']);
    expect(plan.actions.some(({ index }) => endsRun(plan, index))).toBe(false);
  });

  test('parts that have nothing to do with each other are one flow under the finalizer', () => {
    const plan = planOf({ a: [], b: ['a'], alone: [], c: [], d: ['c'] });
    expect(plan.segments).toHaveLength(1);
    expect(idsOf(plan, plan.segments[0]?.roots ?? []).sort()).toEqual(['alone', 'b', 'd']);
    expect(plan.segments[0]?.finalizer).toBe(true);
  });

  test('depth counts the longest way from a source', () => {
    const plan = planOf({ a: [], b: ['a'], c: ['b'], d: ['a', 'c'] });
    expect(plan.actions.map(({ depth }) => depth)).toEqual([0, 1, 2, 3]);
  });
});

describe('size', () => {
  const run = { runId: 'r', epoch: 1, gen: 0, priority: 50, of: { workflow_id: 'w', version: 1 } };
  // Built here and without recursion: the very depth is what is tested.
  function deepest(trees: readonly FlowNode[]): number {
    let depth = 0;
    for (let level = [...trees]; level.length > 0; level = level.flatMap(({ children }) => children)) depth += 1;
    return depth;
  }
  const chain = (prefix: string, length: number): Edges =>
    Object.fromEntries(numbers(0, length).map((n) => [`${prefix}${n}`, n === 0 ? [] : [`${prefix}${n - 1}`]]));
  const flowsOf = (plan: Plan) => plan.segments.map((_, segment) => compileSegment(plan, segment, run));
  const countOf = (flows: readonly FlowNode[][]) => {
    let count = 0;
    for (let level = flows.flat(); level.length > 0; level = level.flatMap(({ children }) => children)) {
      count += level.filter(({ data }) => typeof data?.action_id === 'string').length;
    }
    return count;
  };

  test('a chain of ten thousand is cut into flows of bounded depth, without gates', () => {
    const plan = planOf(chain('n', 10_000));
    const flows = flowsOf(plan);
    expect(gatesIn(plan)).toEqual([]);
    expect(Math.max(...flows.map(deepest))).toBeLessThanOrEqual(202);
    expect(countOf(flows)).toBe(10_000);
    expect(followers(plan)).toHaveLength(flows.length - 1);
  });

  test('two chains of five thousand side by side become trees of bounded depth, tied by gates', () => {
    const plan = planOf({ ...chain('a', 5_000), ...chain('b', 5_000) });
    const flows = flowsOf(plan);
    expect(flows).toHaveLength(1);
    expect(Math.max(...flows.map(deepest))).toBeLessThanOrEqual(203);
    expect(countOf(flows)).toBe(10_000);
    expect(gatesIn(plan)).toHaveLength(48);
  });

  test('ten thousand side by side are one flow', () => {
    const middle = numbers(0, 9_998).map((n) => `m${n}`);
    const plan = planOf({ start: [], ...Object.fromEntries(middle.map((id) => [id, ['start']])), end: middle });
    expect(gatesIn(plan)).toEqual([]);
    expect(flowsOf(plan).map(deepest)).toEqual([1, 2]);
  });
});

test('equal definitions give equal plans', () => {
  const edges: Edges = { ...DIAMOND, e: ['b'], f: [] };
  const shape = (plan: Plan) => JSON.stringify([plan.actions, plan.segments]);
  expect(shape(planOf(edges))).toBe(shape(planOf(edges)));
});
