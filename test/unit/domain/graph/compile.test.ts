import { expect, test } from 'vitest';
import {
  compileSegment,
  type FlowNode,
  finalizerJobId,
  gateJobId,
  gatesOf,
  openSegment,
  taskJobId,
} from '../../../../src/domain/graph/compile.ts';
import { jobPriority, NOT_URGENT } from '../../../../src/domain/graph/job-priority.ts';
import { makePlan, type Plan } from '../../../../src/domain/graph/plan.ts';
import { DIAMOND, definitionOf, indexOf, planOf } from '../../../harness/dags.ts';

const run = { runId: 'run', epoch: 2, gen: 3, priority: 50, of: { workflow_id: 'w', version: 4 } };
const final = (plan: Plan, ...ids: string[]) => {
  const indices = new Set(ids.map((id) => indexOf(plan, id)));
  return (index: number) => indices.has(index);
};
/** `d(b(a), c(a -> c))` */
const drawn = ({ name, children }: FlowNode): string =>
  children.length === 0 ? name : `${name}(${children.map(drawn).sort().join(', ')})`;
const compiled = (plan: Plan, segment: number, ...done: string[]) =>
  compileSegment(plan, segment, run, { isFinal: final(plan, ...done) }).map(drawn);

const GATED = { a: [], s: [], b: ['a'], c: ['a'], d: ['b', 'c', 's'] };
const TWO_ENDS = { a: [], x: ['a'], y: ['a'] };

test('a flow is a tree of dependencies, with an inert job for every further dependent', () => {
  expect(compiled(planOf(GATED), 0)).toEqual(['d(b(a), c(a -> c), s)']);
  expect(compiled(planOf(DIAMOND), 0)).toEqual(['a']);
  expect(compiled(planOf(DIAMOND), 1)).toEqual(['d(b, c)']);
  expect(compiled(planOf(TWO_ENDS), 1)).toEqual(['finalize(x, y)']);
});

test('what is final is left out, and its gates with it', () => {
  const plan = planOf(GATED);
  expect(compiled(plan, 0, 'a')).toEqual(['d(b, c, s)']);
  expect(compiled(plan, 0, 'a', 'b', 's')).toEqual(['d(c)']);
  expect(compiled(plan, 0, 'a', 'b', 'c', 's')).toEqual(['d']);
  // Its commit was to end the run; what was retried although nothing was left to do has to be ended by somebody.
  expect(compiled(plan, 0, 'a', 'b', 'c', 'd', 's')).toEqual(['finalize']);
  expect(compiled(planOf(TWO_ENDS), 1, 'a', 'x')).toEqual(['finalize(y)']);
  expect(compiled(planOf(TWO_ENDS), 1, 'a', 'x', 'y')).toEqual(['finalize']);
});

test('what is left of a run starts with the first flow that has something to do', () => {
  const plan = planOf({ ...DIAMOND, e: ['d'], f: ['d'] });
  expect(openSegment(plan, final(plan))).toBe(0);
  expect(openSegment(plan, final(plan, 'a'))).toBe(1);
  expect(openSegment(plan, final(plan, 'a', 'b', 'c'))).toBe(1);
  expect(openSegment(plan, final(plan, 'a', 'b', 'c', 'd'))).toBe(2);
  // Only the finalizer is left.
  expect(openSegment(plan, final(plan, 'a', 'b', 'c', 'd', 'e', 'f'))).toBe(2);
  const one = planOf(DIAMOND);
  expect(openSegment(one, final(one, 'a', 'b', 'c', 'd'))).toBe(1);
});

test('a job says which action of which run it is, and nothing else', () => {
  const [tree] = compileSegment(planOf({ a: [] }), 0, run);
  expect(tree).toEqual({
    queue: 'test_task',
    name: 'a',
    jobId: 'run.2.a',
    data: { v: 1, run_id: 'run', epoch: 2, gen: 3, action_id: 'a', of: { workflow_id: 'w', version: 4 } },
    priority: jobPriority({ priority: 50, urgency: NOT_URGENT, depth: 0, rank: undefined }),
    delayMs: 0,
    attempts: 9,
    children: [],
  });
});

test('inside one priority the deeper goes first; an action may have a priority and a delay of its own', () => {
  const change = (id: string) => (id === 'b' ? { priority: 1, delay_seconds: 1.5 } : {});
  const [tree] = compileSegment(makePlan(definitionOf({ a: [], b: ['a'], c: ['b'] }, change)), 0, run);
  const rank = (depth: number, priority = 50) => jobPriority({ priority, urgency: NOT_URGENT, depth, rank: undefined });
  expect([tree?.priority, tree?.children[0]?.priority, tree?.children[0]?.children[0]?.priority]).toEqual([
    rank(2),
    rank(1, 1),
    rank(0),
  ]);
  expect(tree?.children[0]?.delayMs).toBe(1_500);
});

test('a delay is a whole number of milliseconds, which 1.009 seconds are not by themselves', () => {
  const plan = makePlan(definitionOf({ a: [] }, () => ({ delay_seconds: 1.009 })));
  expect(compileSegment(plan, 0, run)[0]?.delayMs).toBe(1_009);
});

test('the first tasks of a run that has not started go by their rank; the others are of a run under way by then', () => {
  const plan = planOf({ a: [], b: ['a'] });
  const [tree] = compileSegment(plan, 0, { ...run, rank: 7, urgency: 2 });
  const rank = (depth: number, turn?: number) => jobPriority({ priority: 50, urgency: 2, depth, rank: turn });
  expect(tree?.children[0]?.priority).toBe(rank(0, 7));
  expect(tree?.priority).toBe(rank(1));
  const [again] = compileSegment(plan, 0, { ...run, urgency: 2 });
  expect(again?.children[0]?.priority).toBe(rank(0));
});

test('priorities stay within the bounds of BullMQ at any depth, and the finalizer is the deepest', () => {
  const edges = Object.fromEntries(Array.from({ length: 1_200 }, (_, n) => [`n${n}`, n === 0 ? [] : [`n${n - 1}`]]));
  const plan = makePlan(definitionOf({ ...edges, aside: [] }));
  const all: FlowNode[] = [];
  for (let level = compileSegment(plan, 0, { ...run, priority: 100 }); level.length > 0; ) {
    all.push(...level.filter(({ data }) => data !== undefined));
    level = level.flatMap(({ children }) => children);
  }
  const priorities = all.map(({ priority }) => priority);
  expect(Math.min(...priorities)).toBe(all.find(({ queue }) => queue === 'runs')?.priority);
  expect(Math.min(...priorities)).toBeGreaterThan(0);
  expect(Math.max(...priorities)).toBeLessThanOrEqual(2_097_151);
});

test('ids hold no colon, and what differs stays different', () => {
  const odd = ['a:b', 'a.b', 'a~b', 'a%b', 'a%3Ab', 'a%2Eb', 'ä', '実行', '😀', '~end', 'a b', 'a/b', 'A:B'];
  const ids = odd.flatMap((id) => [taskJobId('run', 1, id), taskJobId(id, 1, 'run')]);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) {
    expect(id).not.toContain(':');
    expect(id.split('.')).toHaveLength(3);
    expect(id).toMatch(/^[\x21-\x7e]+$/);
  }
  expect(taskJobId('run', 1, 'a.b')).toBe('run.1.a%2Eb');
});

test('a gate, a task and the finalizer never share an id', () => {
  const ids = [
    gateJobId('r', 1, 'a', 'b'),
    gateJobId('r', 1, 'a.b', 'c'),
    gateJobId('r', 1, 'a', 'b.c'),
    taskJobId('r', 1, 'a.b'),
    taskJobId('r', 1, '~end'),
    taskJobId('r.1', 1, 'a'),
    finalizerJobId('r', 1),
    finalizerJobId('r', 2),
  ];
  expect(new Set(ids).size).toBe(ids.length);
});

test('the gates of an action are those that were compiled for it', () => {
  const plan = planOf(GATED);
  const a = plan.actions[indexOf(plan, 'a')];
  expect(a && gatesOf(plan, a, 'run', 2)).toEqual(['run.2.a.c']);
});
