/** Runs and tasks as the engine reads them. */
import type { FinalRunStatus, FinalTaskStatus, OpenRunStatus, OpenTaskStatus } from '../../domain/runs/run-states.ts';
import type { DefinitionRef } from '../../schemas/job.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';

/** What is read of a run, whatever its status. */
export interface RunFields {
  id: string;
  tenantId: string;
  userId: string;
  of: DefinitionRef;
  epoch: number;
  gen: number;
  priority: number;
  parameters: JsonObject;
  /** What whoever started it passes on beside the parameters; only runs of the flow runner have one. */
  executionContext?: JsonObject | null;
  correlationId: string | null;
  traceId: string | null;
  /** As `storedParent` has it. */
  parentSpan?: string | null;
  createdAt: Date;
  deadlineAt: Date | null;
  /** It may not start before others of its group have ended. */
  waitsForSlot?: true | undefined;
  /** A task of another run waits for its end. */
  awaited?: true | undefined;
  /** Its jobs were taken out of the queue while it slept. */
  leftQueue?: true | undefined;
}

export interface LiveRun extends RunFields {
  status: OpenRunStatus;
  final: false;
}

export interface EndedRun extends RunFields {
  status: FinalRunStatus;
  final: true;
}

export type RunRow = LiveRun | EndedRun;

/** What is read of a task, whatever its status. */
export interface TaskFields {
  actionId: string;
  tolerated: boolean;
  attempt: number;
  endedAttempt: number;
  epoch: number;
  fence: number;
  deliveries: number;
  nextDelivery: number | null;
  /** An attempt was executed, and nobody heard how that ended. Says nothing of what completed. */
  effectUnknown: boolean;
  wakeAt: Date | null;
  /** While it sleeps: when it is due; null: when it is woken. */
  notBefore?: Date | null;
  /** When it ended, in milliseconds since 1970; only where it was looked up. */
  finishedMs?: number | null | undefined;
  /** How often it was woken, and what that number was when it last went to sleep. */
  wakes: number;
  wakesSeen: number;
  /** It may have been executed; only where all of a run are read. */
  started?: boolean | undefined;
  /** Of an item or iteration: its parent task, whether it was added to the queue, and, where it was looked up alone, its item. */
  parentId: string | null;
  released: boolean;
  item?: Json | undefined;
}

export interface OpenTask extends TaskFields {
  status: OpenTaskStatus;
  final: false;
  output: null;
}

export interface CompletedTask extends TaskFields {
  status: 'completed';
  final: true;
  /** null where it was not requested. */
  output: Json;
}

/** It has ended without an output. */
export interface UncompletedTask extends TaskFields {
  status: Exclude<FinalTaskStatus, 'completed'>;
  final: true;
  output: null;
}

export type TaskRow = OpenTask | CompletedTask | UncompletedTask;

export interface LookupRequest {
  runId: string;
  actionIds: readonly string[];
  outputsOf: readonly string[];
  /** Look-ups of one party may come in crowds together; left out: of no party. */
  party?: string;
}

export interface Lookup {
  run: RunRow | undefined;
  tasks: ReadonlyMap<string, TaskRow>;
}
