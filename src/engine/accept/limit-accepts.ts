/**
 * Backpressure of the acceptance: rejects more runs than may wait for the database at a time, before memory runs out, and
 * any run while the queue's store is nearly full. What is rejected was not started; the answer says when to try again.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import { fullnessOf, isQueueFull, type QueueUse } from '../../domain/fairness/queue-room.ts';

export interface CapacityLimits {
  /** Runs in the hands of this process that are not committed yet. */
  maxRuns: number;
  /** Of the memory of the queue's store, as last sampled. */
  queueUse(): QueueUse | undefined;
}

export interface AcceptCapacity {
  /** Throws `queue_full` or `overloaded`; else so many more runs are in hand until the answer is called, once. */
  take(runs: number): () => void;
  inHand(): number;
}

export const MAX_RUNS_IN_HAND = 5_000;
const AGAIN_AFTER_BURST_SECONDS = 1;
/** As long as it may take until jobs have ended and their memory is free. */
const AGAIN_AFTER_FULL_SECONDS = 5;

export function createAcceptCapacity({ maxRuns, queueUse }: CapacityLimits): AcceptCapacity {
  let inHand = 0;
  return {
    inHand: () => inHand,
    take(runs) {
      const use = queueUse();
      if (isQueueFull(use)) {
        throw new OrchestratorError('queue_full', `The queue uses ${fullnessOf(use)}`, {
          retryAfterSeconds: AGAIN_AFTER_FULL_SECONDS,
        });
      }
      if (inHand + runs > maxRuns) {
        throw new OrchestratorError('overloaded', `${inHand} runs wait to be stored; at most ${maxRuns} may`, {
          retryAfterSeconds: AGAIN_AFTER_BURST_SECONDS,
        });
      }
      inHand += runs;
      return () => {
        inHand -= runs;
      };
    },
  };
}

const SAMPLE_EVERY_MS = 1_000;

/** Returns the last sample; when it is old, takes a new one in the background. */
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
          // A store that is away rejects nobody: runs wait in the database.
          value = sample;
          at = now();
          reading = false;
        });
    }
    return value;
  };
}
