/**
 * The outputs that actions with `cache` share between runs. Only committed outputs are served: an entry is copied from
 * the row of the task that made it, after its commit. The cache never fails or delays a task: what goes wrong
 * with it is a miss.
 */
import { cacheEntryOf } from '../../domain/definition/cache.ts';
import { resolveKey } from '../../domain/definition/key-template.ts';
import type { Plan, PlannedAction } from '../../domain/graph/plan.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { requestHash } from '../accept/request-hash.ts';
import type { Failpoint } from '../ports/failpoint.ts';
import type { Logger } from '../ports/logger.ts';
import type { RunRow } from '../ports/rows.ts';
import type { Outcome } from '../ports/tasks.ts';
import type { Attempt } from './attempt.ts';
import { isServiceCall, namesFor, type Scope } from './resolve-input.ts';

export interface OutputCache {
  /** JSON text, as it was committed; undefined: there is none, or its time is over. */
  find(entry: { tenantId: string; key: string }): Promise<string | undefined>;
  /** The next one that is stored replaces it. */
  forget(entry: { tenantId: string; key: string }): Promise<void>;
  /** Copies the output of a committed task, unless there is one of which the time is not over. */
  store(entry: NewCacheEntry): Promise<void>;
}
export interface NewCacheEntry {
  tenantId: string;
  key: string;
  ttlSeconds: number;
  runId: string;
  actionId: string;
  commitId: string;
}

export interface CacheDeps {
  cache: OutputCache;
  failpoint: Failpoint;
  log: Logger;
}

/** Undefined: the action has no cache, or its key says nothing here. Throws `template_unresolved`. */
export function cacheKeyOf(plan: Plan, planned: PlannedAction, run: RunRow, scope: Scope): string | undefined {
  const action = planned.item?.of.action ?? planned.action;
  if (action.cache === undefined || !('workflow_id' in run.of)) return undefined;
  const value = resolveKey(action.cache.key, { ...scope, isServiceCall: isServiceCall(plan) }, namesFor(plan, planned));
  return value === undefined ? undefined : requestHash(cacheEntryOf(run.of.workflow_id, action, value));
}

/** After a manual retry or rerun the action is to be executed: the entry goes, and the new output is the next one. */
export async function findCached(
  { cache, log }: CacheDeps,
  { run, planned, cacheKey }: Attempt,
): Promise<string | undefined> {
  if (cacheKey === undefined) return undefined;
  try {
    const entry = { tenantId: run.tenantId, key: cacheKey };
    if (run.epoch === 1) return await cache.find(entry);
    await cache.forget(entry);
    return undefined;
  } catch (error) {
    const message = errorMessage(error);
    log.warn('cache_not_read', { run_id: run.id, action_id: planned.action.action_id, error: message });
    return undefined;
  }
}

/** After an accepted commit. Whoever dies before it has only not cached. */
export async function storeInCache(
  deps: CacheDeps,
  { run, planned, cacheKey }: Attempt,
  outcome: Outcome,
): Promise<void> {
  const { cache } = planned.action;
  if (cacheKey === undefined || cache === undefined || outcome.status !== 'completed' || outcome.cached === true)
    return;
  const { runId, actionId, commitId } = outcome;
  try {
    await deps.failpoint('cache.beforeStore');
    await deps.cache.store({
      tenantId: run.tenantId,
      key: cacheKey,
      ttlSeconds: cache.ttl_seconds,
      runId,
      actionId,
      commitId,
    });
  } catch (error) {
    const message = errorMessage(error);
    deps.log.warn('output_not_cached', { run_id: runId, action_id: actionId, error: message });
  }
}
