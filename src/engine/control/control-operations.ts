/**
 * Carries out a request for all live runs of a workflow, page by page. A process that dies in the middle of a page leaves a
 * lease that ends, and the page is done again: what has been paused, resumed or cancelled already is passed over. Between
 * two pages another operation may go on, so a large one delays no small one.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type {
  ControlOperation,
  ControlOperationStore,
  LeasedOperation,
  OperationKind,
} from '../ports/control-operations.ts';
import type { Failpoint } from '../ports/failpoint.ts';
import type { Logger } from '../ports/logger.ts';
import type { Caller, CancelRuns, ChangedTogether, PauseRuns } from '../ports/use-cases.ts';
import { restAsLong } from './rest.ts';

export interface ControlOperationsDeps {
  operations: ControlOperationStore;
  cancelRun: CancelRuns['cancelRun'];
  pause: PauseRuns;
  newId(): string;
  failpoint: Failpoint;
  log: Logger;
}

export interface ControlOperations {
  /** Does the first page at once, so that a small one is through; throws nothing for what comes later. */
  start(caller: Caller, id: string): Promise<ControlOperation>;
  /** Throws `not_found`. */
  find(caller: Caller, id: string): Promise<ControlOperation>;
  /** Pages of whatever is due, until nothing is or the signal aborts. */
  work(signal: AbortSignal): Promise<void>;
}

const PER_PAGE = 100;
const AT_ONCE = 4;
/** Longer than a page takes. */
const LEASE_MS = 60_000;
const AGAIN_MS = 5_000;
/** After so many, runs that fail for a reason that should pass are counted as failed. */
const MAX_TRIES = 5;

export function createControlOperations(deps: ControlOperationsDeps): ControlOperations {
  const { operations, log } = deps;

  const verbs: Record<OperationKind, (caller: Caller, runId: string, reason: string | undefined) => Promise<unknown>> =
    {
      pause: deps.pause.pauseRun,
      resume: deps.pause.resumeRun,
      cancel: deps.cancelRun,
    };
  const together: Partial<Record<OperationKind, PauseRuns['pauseRuns']>> = {
    pause: deps.pause.pauseRuns,
    resume: deps.pause.resumeRuns,
  };

  async function doPage(operation: LeasedOperation): Promise<void> {
    const { tenantId, requestedBy: userId, kind, reason } = operation;
    const caller = { tenantId, userId, correlationId: undefined, traceId: '0'.repeat(32) };
    const ids = await operations.page(operation, PER_PAGE);
    const counts = { done: 0, skipped: 0, failed: 0 };
    let error: string | undefined;
    // When that came to nothing, the one that is at fault is to delay itself alone.
    const all = operation.tries === 0 ? together[kind] : undefined;
    const done: ChangedTogether = (await all?.(caller, ids, reason ?? undefined)) ?? { changed: [], left: ids };
    counts.done += done.changed.length;
    counts.skipped += ids.length - done.changed.length - done.left.length;
    const left = done.left.values();
    const work = async () => {
      for (const id of left) {
        try {
          await verbs[kind](caller, id, reason ?? undefined);
          counts.done += 1;
        } catch (problem) {
          if (problem instanceof OrchestratorError && problem.status < 500) counts.skipped += 1;
          else {
            counts.failed += 1;
            error = errorMessage(problem);
          }
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await deps.failpoint('operation.afterPage');
    if (error !== undefined && operation.tries + 1 < MAX_TRIES) throw new Error(error);
    await operations.save(operation, { ...counts, error, after: ids.at(-1), last: ids.length < PER_PAGE });
  }

  /** False: there is nothing to do. */
  async function step(id?: string): Promise<boolean> {
    const operation = await operations.take(deps.newId(), LEASE_MS, id);
    if (operation === undefined) return false;
    try {
      await doPage(operation);
    } catch (problem) {
      const error = errorMessage(problem);
      log.warn('control_operation_put_off', { operation_id: operation.id, kind: operation.kind, error });
      // When that cannot be written down either, its lease runs out.
      await operations.defer(operation, error, AGAIN_MS).catch(() => undefined);
    }
    return true;
  }

  async function find(caller: Caller, id: string): Promise<ControlOperation> {
    const found = await operations.find(caller.tenantId, id);
    if (found === undefined) throw new OrchestratorError('not_found', 'Operation not found');
    return found;
  }

  return {
    find,
    async start(caller, id) {
      await step(id);
      return find(caller, id);
    },
    async work(signal) {
      for (let startedAt = performance.now(); !signal.aborted && (await step()); startedAt = performance.now()) {
        // Before the next page, of the same or of another one.
        await restAsLong(startedAt, signal);
      }
    },
  };
}
