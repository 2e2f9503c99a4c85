/** The store of items of fan-outs and iterations of loops, both called parts. `store/tasks/parts.ts` implements it. */
import type { FinalTaskStatus } from '../../domain/runs/run-states.ts';
import type { Json } from '../../schemas/json.ts';

export interface NewPart {
  id: string;
  position: number;
  item: Json;
}

export interface PartsSummary {
  total: number;
  /** Not final. */
  open: number;
  /** Final without success. */
  failed: number;
  /** Final, and ended in this epoch. */
  ended: number;
  /** They did something, or may have. */
  happened: number;
  firstFailure: { position: number; error: Json } | undefined;
}

/** The newest iteration of a loop. */
export type LastIteration = { position: number } & (
  | { final: false }
  | { final: true; status: 'completed'; output: Json }
  | { final: true; status: Exclude<FinalTaskStatus, 'completed'>; error: Json }
);

export interface PartStore {
  /** Writes what is not written yet. Does nothing for a run that is final or in another epoch. */
  write(
    parent: { runId: string; tenantId: string; epoch: number; parentId: string; actionType: string },
    parts: readonly NewPart[],
  ): Promise<void>;
  summary(runId: string, parentId: string, epoch: number): Promise<PartsSummary>;
  /** Marks parts as added to the queue, the first ones first, so that at most `atOnce` are on their way; their positions. */
  take(runId: string, parentId: string, atOnce: number): Promise<number[]>;
  /** Those added to the queue that are not final. */
  released(runId: string, parentId: string): Promise<number[]>;
  /** Ends those that were never added to the queue. */
  cancelUnreleased(runId: string, parentId: string): Promise<void>;
  /** In their order; null for what did not complete. */
  outputs(runId: string, parentId: string): Promise<Json[]>;
  last(runId: string, parentId: string): Promise<LastIteration | undefined>;
  anyOpen(runId: string, parentId: string): Promise<boolean>;
}
