/** Dead letters: tasks that failed for good and wait until somebody retries their runs or lets them go. */

import { RETRYABLE_STATUSES, type RetryDeps, reopen, reopenCompensations } from '../../engine/control/retry-run.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { addedStats, type DeadMessages, merged, pagesAfter } from './dead-messages.ts';
import type { DeadLetterStore, DeadLetters } from './ports.ts';

const RUNS_PER_REQUEST = 1_000;
const DISCARDED_PER_REQUEST = 10_000;
const AT_ONCE = 4;

export interface DeadLetterDeps extends RetryDeps {
  deadLetters: DeadLetterStore;
  messages: DeadMessages;
}

export function createDeadLetters(deps: DeadLetterDeps): DeadLetters {
  const { deadLetters, messages } = deps;

  async function retryRun(caller: Caller, runId: string): Promise<boolean> {
    const found = await deps.runs.statuses(runId);
    if (found.run?.status === 'compensation_failed')
      return (await reopenCompensations(deps, caller, found.run, undefined)) !== undefined;
    return (await reopen(deps, caller, found, { afterSeconds: 0 })) !== undefined;
  }

  return {
    async list({ tenantId }, filter, window) {
      const { tasks, messages: ofMessages } = pagesAfter(window);
      const [found, others] = await Promise.all([
        deadLetters.list(tenantId, filter, tasks, RETRYABLE_STATUSES),
        messages.list(tenantId, filter, ofMessages),
      ]);
      const items = merged(found.items, others.items);
      return {
        items: items.slice(0, window.limit),
        total: found.total + others.total,
        more: found.more || items.length > window.limit,
      };
    },
    async stats({ tenantId }) {
      const [tasks, others] = await Promise.all([
        deadLetters.stats(tenantId, RETRYABLE_STATUSES),
        messages.stats(tenantId),
      ]);
      return others === undefined ? tasks : addedStats(tasks, others);
    },
    async retry(caller, filter, dryRun, limit = RUNS_PER_REQUEST) {
      const ofMessages = await messages.retry(caller.tenantId, filter, { dryRun, limit });
      const total = (await deadLetters.count(caller.tenantId, filter)) + ofMessages.total;
      const runs = await deadLetters.runsOf(caller.tenantId, filter, RETRYABLE_STATUSES, limit);
      let retried = 0;
      let count = 0;
      for (let at = 0; at < runs.length; at += AT_ONCE) {
        await Promise.all(
          runs.slice(at, at + AT_ONCE).map(async ({ runId, tasks }) => {
            if (!dryRun && !(await retryRun(caller, runId))) return;
            retried += tasks;
            count += 1;
          }),
        );
      }
      return { retried: retried + ofMessages.done, total, runs: count };
    },
    async discard(caller, filter, dryRun) {
      const limits = { dryRun, limit: DISCARDED_PER_REQUEST };
      const ofMessages = await messages.discard(caller.tenantId, filter, limits);
      const tasks = await deadLetters.count(caller.tenantId, filter);
      const discarded = dryRun
        ? Math.min(tasks, DISCARDED_PER_REQUEST)
        : await deadLetters.discard(caller.tenantId, filter, caller.userId, DISCARDED_PER_REQUEST);
      return { discarded: discarded + ofMessages.done, total: tasks + ofMessages.total };
    },
  };
}
