/**
 * The way of child runs into the queue. Every depth has a window of its own, so runs that only wait for their children
 * never keep them out: of the deepest runs in the queue the children find their own window empty.
 */
import { compileSegment } from '../../domain/graph/compile.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Admission } from '../accept/admit.ts';
import type { ChildStore } from '../ports/children.ts';
import type { Logger } from '../ports/logger.ts';
import type { RunStore } from '../ports/runs.ts';
import { type AddAgainDeps, addAgain } from '../recover/add-again.ts';
import { PENDING_AGE_MS } from '../recover/dispatch.ts';
import { inBatches, onItsOwn } from '../recover/run-by-run.ts';

export interface AdmitChildrenDeps extends AddAgainDeps {
  children: Pick<ChildStore, 'takePending' | 'countAtDepth'>;
  runs: AddAgainDeps['runs'] & Pick<RunStore, 'markQueued'>;
  window: number;
  log: Logger;
}

const SAMPLE_EVERY_MS = 1_000;
const DISPATCHED_PER_PASS = 500;

/** The fast path: of a run that was accepted just now. What it leaves out the dispatcher does. */
export function createChildAdmission(deps: AdmitChildrenDeps, depth: number, now: () => number): Admission {
  let room = 0;
  let sampledAt = Number.NEGATIVE_INFINITY;
  return {
    async admit(runs) {
      try {
        // A worker's commands wait for the connection, and its task with them.
        if (!(await deps.queue.ping())) return;
        if (now() - sampledAt >= SAMPLE_EVERY_MS) {
          sampledAt = now();
          room = deps.window - (await deps.children.countAtDepth(depth, deps.window));
        }
        const admitted = runs.slice(0, Math.max(0, room));
        room -= admitted.length;
        const trees = admitted.map(async ({ id: runId, of, priority }) =>
          compileSegment(await deps.plans.of(of), 0, { runId, epoch: 1, gen: 0, priority, of }),
        );
        const traced = admitted.map((run) => ({ run, epoch: 1, gen: 0, segment: 0 }));
        await deps.queue.add(await Promise.all(trees), traced);
        await deps.failpoint('child.afterAdd');
        await Promise.all(admitted.map(({ id }) => deps.runs.markQueued(id)));
      } catch (error) {
        deps.log.warn('runs_left_to_dispatcher', { count: runs.length, error: errorMessage(error) });
      }
    },
  };
}

/** How many were added. */
export async function dispatchChildren(deps: AdmitChildrenDeps): Promise<number> {
  const pending = await deps.children.takePending(deps.window, DISPATCHED_PER_PASS, PENDING_AGE_MS);
  let added = 0;
  await inBatches(pending, (run) =>
    onItsOwn(deps, run, async () => {
      await addAgain(deps, run, run.gen);
      await deps.runs.markQueued(run.id, run.epoch);
      added += 1;
    }),
  );
  return added;
}
