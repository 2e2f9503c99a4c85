/** What the diagnosis reads of the stores. It writes nothing, and every question has its bound. */

import type { DefinitionRef } from '../../schemas/job.ts';
import type { ExternalFact, GroupFact, RunFact, RunFacts, Surroundings, TaskFact, WaitFact } from './facts.ts';

export interface WhyRun {
  run: RunFact;
  now: number;
  tenantId: string;
  epoch: number;
  of: DefinitionRef;
  waitsForSlot: boolean;
}

export interface OpenChild {
  actionId: string;
  runId: string;
  status: string;
  createdAt: number;
}

export interface WhyStore {
  /** Undefined: the tenant has no such run. */
  run(tenantId: string, runId: string): Promise<WhyRun | undefined>;
  /** Undefined: the table is locked. */
  tasks(
    run: WhyRun,
  ): Promise<(Pick<RunFacts, 'tasks' | 'parts'> & { tasks: ReadonlyMap<string, TaskFact> }) | undefined>;
  surroundings(
    tenantId: string,
  ): Promise<
    Pick<Surroundings, 'workers' | 'lastPass' | 'blocked' | 'circuits'> & { now: number; paused: PausedLane[] }
  >;
  waits(
    run: WhyRun,
    actionIds: readonly string[],
  ): Promise<{ waits: ReadonlyMap<string, WaitFact>; since: ReadonlyMap<string, number> }>;
  externals(run: WhyRun, actionIds: readonly string[]): Promise<ReadonlyMap<string, ExternalFact>>;
  children(run: WhyRun, actionIds: readonly string[]): Promise<OpenChild[]>;
  /** By idempotency key and attempt (see `rate-limit.ts` of the services). */
  rateSlots(keys: readonly string[], ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  group(run: WhyRun): Promise<GroupFact | undefined>;
  window(run: WhyRun, size: number): Promise<{ used: number; size: number; ahead: number; ofTenant: number }>;
}

export interface PausedLane {
  lane: string;
  tenantId: string;
  by: string;
  reason: string | null;
  since: number;
}
