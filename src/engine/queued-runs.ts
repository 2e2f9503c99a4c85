/**
 * How many runs of one tenant may wait to be begun: what is beyond is refused, so that a tenant that sends without end
 * hears of it while there is room for others. It is counted once in a while, not for each request: up to what is accepted
 * meanwhile by other processes it may be more.
 */
import { OrchestratorError } from '../domain/errors.ts';
import type { AcceptRuns, Caller } from './use-cases.ts';

const COUNT_EVERY_MS = 1_000;
const MOST_TENANTS = 10_000;
/** As long as it may take until some of them have begun. */
const AGAIN_AFTER_SECONDS = 5;

export interface QueuedRunsDeps {
  /** 0: any number. */
  limit: number;
  /** Of a tenant, counted up to `most`. */
  count(tenantId: string, most: number): Promise<number>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}

export function boundQueuedRuns(accept: AcceptRuns, { limit, count, now }: QueuedRunsDeps): AcceptRuns {
  if (limit === 0) return accept;
  const known = new Map<string, { at: number; waiting: Promise<number>; since: number }>();

  async function makeRoom({ tenantId }: Caller, runs: number): Promise<void> {
    let entry = known.get(tenantId);
    if (entry === undefined || now() - entry.at >= COUNT_EVERY_MS) {
      if (known.size >= MOST_TENANTS) known.clear();
      // Nobody is refused because it could not be counted: whoever cannot reach the database hears of that anyway.
      entry = { at: now(), waiting: count(tenantId, limit).catch(() => 0), since: 0 };
      known.set(tenantId, entry);
    }
    const waiting = (await entry.waiting) + entry.since;
    if (waiting + runs > limit) {
      const detail = `${waiting} executions of this tenant wait to begin; at most ${limit} may`;
      throw new OrchestratorError('too_many_queued', detail, { retryAfterSeconds: AGAIN_AFTER_SECONDS });
    }
    entry.since += runs;
  }

  return {
    ...accept,
    async acceptTask(caller, request, key) {
      await makeRoom(caller, 1);
      return accept.acceptTask(caller, request, key);
    },
    async acceptTasks(caller, requests) {
      await makeRoom(caller, requests.length);
      return accept.acceptTasks(caller, requests);
    },
    async executeWorkflow(caller, id, request) {
      await makeRoom(caller, 1);
      return accept.executeWorkflow(caller, id, request);
    },
    async executeWorkflowMany(caller, id, requests) {
      await makeRoom(caller, requests.length);
      return accept.executeWorkflowMany(caller, id, requests);
    },
  };
}
