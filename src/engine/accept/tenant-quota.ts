/**
 * Tenant quotas: how many runs of one tenant may wait to be started, and be live at all. What is beyond is rejected, so that
 * a tenant that sends without end gets an error while there is room for others. They are counted once in a while, not for each
 * request: up to what is accepted meanwhile by other processes there may be more.
 */
import { type ErrorCode, OrchestratorError } from '../../domain/errors.ts';
import type { Caller } from '../ports/use-cases.ts';

const COUNT_EVERY_MS = 1_000;
/** A count reads an entry of an index for each run: so many of them for a millisecond more until the next one. */
const RUNS_PER_MS = 100;
const MOST_TENANTS = 10_000;

export interface TenantQuotaDeps {
  /** 0: any number. */
  limit: number;
  code: ErrorCode;
  rejection(runs: number, limit: number): string;
  /** As long as it may take until some of them have gone. */
  againAfterSeconds: number;
  /** Of a tenant, counted up to `most`. */
  count(tenantId: string, most: number): Promise<number>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}
/** Throws when the tenant may not have so many more runs; else they count at once, before they are stored. */
export type TenantQuota = (caller: Pick<Caller, 'tenantId'>, more: number) => Promise<void>;
export type CountDeps = Pick<TenantQuotaDeps, 'limit' | 'count' | 'now'>;

/** Of those that wait to be started. */
export function createQueuedRunQuota(deps: CountDeps): TenantQuota {
  return createTenantQuota({
    ...deps,
    code: 'too_many_queued',
    rejection: (runs, limit) => `${runs} executions of this tenant wait to begin; at most ${limit} may`,
    againAfterSeconds: 5,
  });
}

/** Of all that have not ended, whatever they do or wait for. */
export function createLiveRunQuota(deps: CountDeps): TenantQuota {
  return createTenantQuota({
    ...deps,
    code: 'too_many_live',
    rejection: (runs, limit) => `${runs} executions of this tenant have not ended; at most ${limit} may be so`,
    againAfterSeconds: 60,
  });
}

function createTenantQuota(deps: TenantQuotaDeps): TenantQuota {
  const { limit, count, now } = deps;
  if (limit === 0) return async () => undefined;
  const counts = new Map<string, { until: number; runs: Promise<number>; since: number }>();

  function counted(tenantId: string) {
    if (counts.size >= MOST_TENANTS) counts.clear();
    // Nobody is rejected because the count failed: whoever cannot reach the database gets that error anyway.
    const entry = { until: now() + COUNT_EVERY_MS, runs: count(tenantId, limit).catch(() => 0), since: 0 };
    counts.set(tenantId, entry);
    void entry.runs.then((runs) => {
      entry.until += Math.floor(runs / RUNS_PER_MS);
    });
    return entry;
  }

  return async ({ tenantId }, more) => {
    const last = counts.get(tenantId);
    const entry = last === undefined || now() >= last.until ? counted(tenantId) : last;
    const runs = (await entry.runs) + entry.since;
    if (runs + more > limit) {
      throw new OrchestratorError(deps.code, deps.rejection(runs, limit), {
        retryAfterSeconds: deps.againAfterSeconds,
      });
    }
    entry.since += more;
  };
}
