/** Events from outside, and what waits for them. */

import type { Trigger } from '../../domain/definition/definition.ts';
import type { IncomingEvent } from '../../domain/events/cloud-events.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';

export interface EventOutcome {
  started: Array<{ workflow_id: string; execution_id: string }>;
  signalled: Array<{ execution_id: string; name: string }>;
  failed: Array<{ workflow_id: string; code: string; detail: string }>;
}

/** A trigger or a wait that could not be followed yet. */
export interface OpenEffect {
  /** `trigger <workflow> <position>` or `wait <run> <name>`. */
  id: string;
  /** How often it failed for a reason that may pass. */
  tries: number;
}

/** Of an event that is not done: what followed so far, and what is still to be tried. */
export interface EventProgress {
  outcome: EventOutcome;
  open: OpenEffect[];
}

export interface StoredEvent {
  /** A digest of source and id. */
  key: string;
  caller: Caller;
  event: IncomingEvent;
  /** How often it was tried before. */
  tries: number;
  /** Undefined: nothing has been checked yet. */
  progress: EventProgress | undefined;
}

export interface WaitingRun {
  runId: string;
  name: string;
  event: string;
}

export interface IncomingStore {
  /** In the order given. `outcome`: what followed so far, of one that was there before. */
  insert(
    caller: Caller,
    events: ReadonlyArray<{ key: string; event: IncomingEvent }>,
    leaseMs: number,
  ): Promise<Array<{ fresh: boolean; done: boolean; outcome: EventOutcome | undefined }>>;
  /** Some of each tenant that is not `busy`, which no process works on any more; they are leased for as long as that may take. */
  takeDue(perTenant: number, busy: readonly string[], leaseMs: number): Promise<StoredEvent[]>;
  /** Writes down what followed, in the log of the tenant too; nothing when that was done before. */
  done(event: StoredEvent, outcome: EventOutcome): Promise<void>;
  again(event: StoredEvent, progress: EventProgress | undefined, afterMs: number): Promise<void>;
  /** Of the current versions of active workflows. */
  triggersFor(
    tenantId: string,
    patterns: readonly string[],
    limit: number,
  ): Promise<Array<{ workflowId: string; position: number; trigger: Trigger }>>;
  waitsFor(tenantId: string, subject: string, patterns: readonly string[], limit: number): Promise<WaitingRun[]>;
}

/** What a task that waits for an event has to do with them. */
export interface EventWaits {
  /** Says that it waits. */
  open(
    task: { tenantId: string; runId: string; actionId: string },
    wait: { name: string; event: string; key: string },
  ): Promise<void>;
  /** Events since the run was accepted that it would have taken, oldest first. */
  early(tenantId: string, runId: string, wait: { event: string; key: string }, limit: number): Promise<StoredEvent[]>;
  /** Takes away waits whose runs have ended. */
  removeEnded(limit: number): Promise<void>;
}
