/**
 * Refuses what could not be taken in anyhow, before memory runs out: more runs than may wait for the database at a time,
 * and any run while the queue's store is nearly full. What is refused was not begun, and the answer says when to come back.
 */
import { OrchestratorError } from '../domain/errors.ts';
import { fullnessOf, isQueueFull, type QueueUse } from '../domain/queue-room.ts';
import type { AcceptRuns } from './use-cases.ts';

export interface AcceptBounds {
  /** Runs in the hands of this process that are not committed yet. */
  maxRuns: number;
  /** Of the memory of the queue's store, as last sampled. */
  queueUse(): QueueUse | undefined;
}

export const MAX_RUNS_IN_HAND = 5_000;
const AGAIN_AFTER_BURST_SECONDS = 1;
/** As long as it may take until jobs have ended and their memory is free. */
const AGAIN_AFTER_FULL_SECONDS = 5;

export interface BoundAccepts extends AcceptRuns {
  inHand(): number;
}

export function boundAccepts(accept: AcceptRuns, bounds: AcceptBounds): BoundAccepts {
  let inHand = 0;

  async function within<T>(runs: number, work: () => Promise<T>): Promise<T> {
    const use = bounds.queueUse();
    if (isQueueFull(use)) {
      throw new OrchestratorError('queue_full', `The queue uses ${fullnessOf(use)}`, {
        retryAfterSeconds: AGAIN_AFTER_FULL_SECONDS,
      });
    }
    if (inHand + runs > bounds.maxRuns) {
      throw new OrchestratorError('overloaded', `${inHand} runs wait to be stored; at most ${bounds.maxRuns} may`, {
        retryAfterSeconds: AGAIN_AFTER_BURST_SECONDS,
      });
    }
    inHand += runs;
    try {
      return await work();
    } finally {
      inHand -= runs;
    }
  }

  return {
    inHand: () => inHand,
    acceptTask: (caller, request, key) => within(1, () => accept.acceptTask(caller, request, key)),
    acceptTasks: (caller, requests) => within(requests.length, () => accept.acceptTasks(caller, requests)),
    executeWorkflow: (caller, id, request) => within(1, () => accept.executeWorkflow(caller, id, request)),
    executeWorkflowMany: (caller, id, requests) =>
      within(requests.length, () => accept.executeWorkflowMany(caller, id, requests)),
    dryRun: (caller, id, request) => accept.dryRun(caller, id, request),
  };
}

const SAMPLE_EVERY_MS = 1_000;

/** The last sample; whoever asks for it when it is old has a new one taken, and does not wait for it. */
export function sampled<T>(read: () => Promise<T | undefined>, now: () => number): () => T | undefined {
  let value: T | undefined;
  let at = Number.NEGATIVE_INFINITY;
  let reading = false;
  return () => {
    if (!reading && now() - at >= SAMPLE_EVERY_MS) {
      reading = true;
      void read()
        .catch(() => undefined)
        .then((sample) => {
          // A store that is away refuses nobody: runs wait in the database.
          value = sample;
          at = now();
          reading = false;
        });
    }
    return value;
  };
}
