import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  actionAt,
  compileSegment,
  FINALIZER_QUEUE,
  gatesOf,
  openSegment,
} from '../../../../src/domain/graph/compile.ts';
import { buildGraph, reduceDependencies } from '../../../../src/domain/graph/graph.ts';
import { endsRun, makePlan, type Plan } from '../../../../src/domain/graph/plan.ts';
import { dags, definitionOf, type Edges, numbers } from '../../../harness/dags.ts';
import { createFakeQueue, type FakeQueue } from '../../../harness/fakes/queue.ts';

const RUN = { runId: 'run', epoch: 1, gen: 0, priority: 50, of: { workflow_id: 'w', version: 1 } };

function reducedEdges(edges: Edges): Array<[number, number]> {
  const built = buildGraph(Object.entries(edges).map(([id, dependsOn]) => ({ id, dependsOn })));
  if (!built.ok) throw new Error('a cycle');
  return reduceDependencies(built.graph).flatMap((list, to) => list.map((from): [number, number] => [from, to]));
}

test('every edge of the reduced graph is a child of a tree, or a gate, or leads from a cut point into the next flow', () => {
  fc.assert(
    fc.property(dags(16), (edges) => {
      const plan = makePlan(definitionOf(edges));
      const ways = ([from, to]: [number, number]) => {
        const source = actionAt(plan, from);
        const target = actionAt(plan, to);
        return [
          target.children.includes(from),
          target.gatedBy.includes(from) && source.gates.includes(to),
          plan.nextSegment(from) === target.segment && source.segment < target.segment,
        ].filter(Boolean).length;
      };
      const reduced = reducedEdges(edges);
      for (const edge of reduced) expect(ways(edge)).toBe(1);
      const held = plan.actions.flatMap(({ children, gatedBy }) => [...children, ...gatedBy]).length;
      const crossing = reduced.filter(([from, to]) => actionAt(plan, from).segment !== actionAt(plan, to).segment);
      expect(held + crossing.length).toBe(reduced.length);
    }),
  );
});

test('every action is in exactly one tree', () => {
  fc.assert(
    fc.property(dags(16), (edges) => {
      const plan = makePlan(definitionOf(edges));
      const found: string[] = [];
      for (let level = plan.segments.flatMap((_, segment) => compileSegment(plan, segment, RUN)); level.length > 0; ) {
        found.push(...level.flatMap(({ data }) => (typeof data?.action_id === 'string' ? [data.action_id] : [])));
        level = level.flatMap(({ children }) => children);
      }
      expect(found.sort()).toEqual(Object.keys(edges).sort());
    }),
  );
});

interface Trace {
  executed: string[];
  finalized: number;
  queue: FakeQueue;
}

/**
 * Runs a plan as the engine does, without its databases: what is picked up executes and is final, its gates go, the
 * next flow is added at a cut point, the job completes. `pick` chooses among what is ready; `wipeAt`: before that many
 * actions are final the queue loses all it has and gets what is left of the plan.
 */
function play(plan: Plan, pick: (choices: number) => number, wipeAt: number | undefined): Trace {
  const queue = createFakeQueue();
  const final = new Set<number>();
  const trace: Trace = { executed: [], finalized: 0, queue };
  const isFinal = (index: number) => final.has(index);
  void queue.add([compileSegment(plan, 0, RUN)]);
  let wiped = wipeAt === undefined;
  for (;;) {
    if (!wiped && final.size >= (wipeAt ?? 0)) {
      wiped = true;
      queue.wipe();
      const segment = openSegment(plan, isFinal);
      if (segment !== undefined) void queue.add([compileSegment(plan, segment, RUN, { isFinal })]);
    }
    const ready = queue.ready();
    const job = ready[pick(ready.length)];
    if (job === undefined) return trace;
    const lease = queue.take(job);
    const actionId = lease.delivery.data.action_id;
    if (actionId === null) {
      trace.finalized += 1;
      expect(final.size).toBe(plan.actions.length);
    } else {
      const planned = plan.byId.get(actionId);
      if (planned === undefined) throw new Error(`no action ${actionId}`);
      expect(planned.dependsOn.every(isFinal)).toBe(true);
      trace.executed.push(actionId);
      final.add(planned.index);
      void queue.removeGates(gatesOf(plan, planned, RUN.runId, RUN.epoch));
      const next = plan.nextSegment(planned.index);
      if (next !== undefined) void queue.add([compileSegment(plan, next, RUN)]);
      if (endsRun(plan, planned.index)) expect(final.size).toBe(plan.actions.length);
    }
    queue.end(lease, { job: 'complete' });
  }
}

function expectDone(plan: Plan, edges: Edges, { executed, finalized, queue }: Trace): void {
  expect([...executed].sort()).toEqual(Object.keys(edges).sort());
  expect(queue.open()).toEqual([]);
  expect(queue.gates()).toEqual([]);
  expect(queue.violations).toEqual([]);
  expect(finalized).toBe(plan.sinks.length > 1 ? 1 : 0);
  const last = queue.jobs().filter((job) => job.queue === FINALIZER_QUEUE);
  expect(last.every(({ state }) => state === 'completed')).toBe(true);
}

const picks = fc.infiniteStream(fc.nat());
const picker = (stream: fc.Stream<number>) => (choices: number) => {
  const { value } = stream.next();
  return choices === 0 ? 0 : (value ?? 0) % choices;
};

test('in whatever order jobs are taken, each action runs once, after what it depends on, and nothing is left', () => {
  fc.assert(
    fc.property(dags(14), picks, (edges, stream) => {
      const plan = makePlan(definitionOf(edges));
      expectDone(plan, edges, play(plan, picker(stream), undefined));
    }),
    { numRuns: 300 },
  );
});

test('the same when the queue is wiped at any moment and gets what is left of the plan', () => {
  fc.assert(
    fc.property(dags(14), picks, fc.nat({ max: 13 }), (edges, stream, wipeAt) => {
      const plan = makePlan(definitionOf(edges));
      const trace = play(plan, picker(stream), wipeAt % plan.actions.length);
      expectDone(plan, edges, trace);
    }),
    { numRuns: 300 },
  );
});

test('chains that are too long for one tree run all the same, side by side and tied by gates', () => {
  const chain = (prefix: string): Edges =>
    Object.fromEntries(numbers(0, 450).map((n) => [`${prefix}${n}`, n === 0 ? [] : [`${prefix}${n - 1}`]]));
  const edges: Edges = { ...chain('a'), ...chain('b'), end: ['a449', 'b449'] };
  const plan = makePlan(definitionOf(edges));
  expect(plan.segments[0]?.roots.length).toBeGreaterThan(1);
  for (const from of [0, 1])
    expectDone(
      plan,
      edges,
      play(plan, (choices) => from % Math.max(1, choices), 400),
    );
});

test('what is left of a run keeps every job under the parent that it has in the whole plan', () => {
  const parents = (plan: Plan, isFinal: (index: number) => boolean) => {
    const of = new Map<string, string>();
    for (let level = plan.segments.flatMap((_, s) => compileSegment(plan, s, RUN, { isFinal })); level.length > 0; ) {
      for (const { jobId, children } of level) for (const child of children) of.set(child.jobId, jobId);
      level = level.flatMap(({ children }) => children);
    }
    return of;
  };
  fc.assert(
    fc.property(dags(14), fc.nat({ max: 14 }), (edges, done) => {
      const plan = makePlan(definitionOf(edges));
      const whole = parents(plan, () => false);
      for (const [child, parent] of parents(plan, (index) => index < done)) expect(whole.get(child)).toBe(parent);
    }),
  );
});
