/**
 * The fast path from a committed run to the queue. At most `window` runs are in BullMQ; beyond that, and whenever the
 * queue cannot be reached, a run stays pending in PostgreSQL and the dispatcher adds it later.
 */
import { compileSegment } from '../domain/compile.ts';
import type { DefinitionRef } from '../schemas/job.ts';
import type { Failpoint } from './failpoint.ts';
import type { Plans } from './plans.ts';
import type { FlowQueue, Logger, RunStore } from './ports.ts';

export interface Admission {
  /** Never throws: the runs are accepted already. */
  admit(runs: ReadonlyArray<{ id: string; of: DefinitionRef; priority: number }>): Promise<void>;
}

export interface AdmitDeps {
  plans: Plans;
  runs: Pick<RunStore, 'markQueued' | 'countInQueue'>;
  queue: FlowQueue;
  failpoint: Failpoint;
  window: number;
  log: Logger;
  now(): number;
}

const SAMPLE_EVERY_MS = 1_000;
/** After the queue did not answer, requests do not wait for it again for a while. */
const PAUSE_AFTER_FAULT_MS = 1_000;

export function createAdmission(deps: AdmitDeps): Admission {
  let room = deps.window;
  let sampledAt = Number.NEGATIVE_INFINITY;
  let sampling: Promise<void> | undefined;
  /** Added, and not yet to be seen in the count. */
  let unmarked = 0;
  let pausedUntil = Number.NEGATIVE_INFINITY;

  /** How full the window is: a cheap count now and then, and in between what this process has added. */
  async function sample(): Promise<void> {
    if (deps.now() - sampledAt < SAMPLE_EVERY_MS) return;
    sampling ??= deps.runs
      .countInQueue(deps.window)
      .then((count) => {
        room = deps.window - count - unmarked;
        sampledAt = deps.now();
      })
      .finally(() => {
        sampling = undefined;
      });
    await sampling;
  }

  return {
    async admit(runs) {
      try {
        if (deps.now() < pausedUntil) return;
        await sample();
        const admitted = runs.slice(0, Math.max(0, room));
        room -= admitted.length;
        const trees = await Promise.all(
          admitted.map(async ({ id, of, priority }) => {
            const plan = await deps.plans.of(of);
            return compileSegment(plan, 0, { runId: id, epoch: 1, gen: 0, priority, of });
          }),
        );
        await deps.queue.add(trees);
        await deps.failpoint('api.afterAdd');
        unmarked += admitted.length;
        for (const { id } of admitted) {
          deps.runs
            .markQueued(id)
            .catch((error: unknown) => {
              deps.log.warn('run_not_marked_queued', {
                run_id: id,
                error: error instanceof Error ? error.message : String(error),
              });
            })
            .finally(() => {
              unmarked -= 1;
            });
        }
      } catch (error) {
        pausedUntil = deps.now() + PAUSE_AFTER_FAULT_MS;
        deps.log.warn('runs_left_to_dispatcher', {
          count: runs.length,
          error: error instanceof Error ? error.message : String(error),
        });
      }
    },
  };
}
