/**
 * Every add of a run's jobs but the first: after a crash between commit and add, by the dispatcher, by the reconciler.
 * One procedure, in this order, because adding again is not harmless by itself: a gate that comes back under a running
 * job makes BullMQ fail it, one that comes back after the end stays for ever, and a kept failed child hangs its parent.
 */
import { actionAt, compileSegment, gatesOf, openSegment, taskJobId } from '../domain/compile.ts';
import type { Plan } from '../domain/plan.ts';
import type { Plans } from './plans.ts';
import type { FlowQueue, Lookup, RunRow, RunStore, SweepStore } from './ports.ts';

export interface AddAgainDeps {
  plans: Plans;
  runs: Pick<RunStore, 'statuses'>;
  sweep: Pick<SweepStore, 'raiseGen'>;
  queue: FlowQueue;
}

/** `gen`: raised already by the statement that decided; otherwise it is raised here. True when something was added. */
export async function addAgain(deps: AddAgainDeps, run: RunRow, gen?: number): Promise<boolean> {
  const newGen = gen ?? (await deps.sweep.raiseGen(run.id, run.epoch));
  if (newGen === undefined) return false;
  const plan = await deps.plans.of(run.of);
  const before = finalActions(plan, await deps.runs.statuses(run.id));
  const segment = openSegment(plan, (index) => before.has(index));
  if (segment === undefined) return false;
  const flow = { runId: run.id, epoch: run.epoch, gen: newGen, priority: run.priority, of: run.of };
  await deps.queue.add(compileSegment(plan, segment, flow, (index) => before.has(index)));

  // What became final while the flow was added has had its gates removed before they came back.
  const after = await deps.runs.statuses(run.id);
  const final = finalActions(plan, after);
  const gates = [...final].flatMap((index) => gatesOf(plan, actionAt(plan, index), run.id, run.epoch));
  await deps.queue.removeGates(gates);
  const failed = [...final].filter(
    (index) => after.tasks.get(actionAt(plan, index).action.action_id)?.status === 'failed',
  );
  await deps.queue.removeFailed(
    failed.map((index) => {
      const { action } = actionAt(plan, index);
      return { queue: action.action_type, jobId: taskJobId(run.id, run.epoch, action.action_id) };
    }),
  );
  return true;
}

function finalActions(plan: Plan, { tasks }: Lookup): Set<number> {
  const final = new Set<number>();
  for (const planned of plan.actions) {
    if (tasks.get(planned.action.action_id)?.final === true) final.add(planned.index);
  }
  return final;
}
