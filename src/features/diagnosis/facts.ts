/**
 * The facts of a run to explain: its rows, its jobs, its workers and stores. Times are milliseconds of the
 * database's clock. Undefined is always: not known, because its source did not answer.
 */

import type { QueueUse } from '../../domain/fairness/queue-room.ts';
import type { JobFact } from '../../domain/health/job-fact.ts';
import type { FaultGroup } from '../../domain/health/system-faults.ts';
import type { Cause, Explanation, WaitCause } from '../../domain/health/why-causes.ts';
import type { Instant } from '../../domain/texts/iso-text.ts';

export interface WhyError {
  code: string;
  message: string;
}

export interface RunFact {
  id: string;
  status: string;
  final: boolean;
  createdAt: number;
  finishedAt: number | undefined;
  dueAt: number | undefined;
  deadlineAt: number | undefined;
  cancelReason: string | undefined;
  workflowStatus: string | undefined;
  /** When the reconciler checks it next. */
  checkAt: number;
  /** It sleeps, and its jobs were taken out of the queue until it is due or woken. */
  leftQueue?: boolean | undefined;
  isSaga: boolean;
  /** The newest of each: who paused it, who requested its end. */
  paused: ControlAct | undefined;
  /** It goes on with this run, which is above it and was paused by somebody. */
  pausedWith: string | undefined;
  cancelling: ControlAct | undefined;
}
export interface ControlAct {
  at: number;
  by: string | undefined;
  reason: string | undefined;
}

export interface ActionFact {
  actionId: string;
  actionType: string;
  dependsOn: readonly string[];
  maxAttempts: number;
  timeoutMs: number;
  delayMs: number;
  /** Of a `service_call` that names it as text. */
  service: string | undefined;
  hasParts: boolean;
}

export interface TaskFact {
  status: string;
  final: boolean;
  tolerated: boolean;
  attempts: number;
  deliveries: number;
  wakeAt: number | undefined;
  /** While it sleeps: when it is due by itself. */
  notBefore?: number | undefined;
  worker: string | undefined;
  startedAt: number | undefined;
  finishedAt: number | undefined;
  updatedAt: number;
  error: WhyError | undefined;
  progress: { percent: number | null; message: string | null; at: number } | undefined;
}

export interface LaneFact {
  lane: string;
  paused: { by: string | null; reason: string | null; since: number } | undefined;
  depth: number | undefined;
  active: number | undefined;
}

export interface WorkerFact {
  id: string;
  alive: boolean;
  seenAt: number;
  version: string;
  lanes: readonly string[];
}

export interface ExternalFact {
  topic: string;
  status: string;
  workerId: string | undefined;
  leaseUntil: number | undefined;
  deadlineAt: number;
  createdAt: number;
  deliveries: number;
  /** Of the same topic and tenant, in the hands of workers now. */
  leasedOfTopic: number;
}

export interface Surroundings {
  /** What fails now in any process, with no more of it than the caller may see. */
  faults: readonly FaultGroup[];
  /** The version of the process that answers. */
  version: string;
  queueReachable: boolean;
  /** Undefined: no limit, or not known. */
  queueUse: QueueUse | undefined;
  /** It answers, and takes no writes: its own word for why. */
  queueRejects: string | undefined;
  queueFull: boolean;
  workers: readonly WorkerFact[];
  lastPass: { at: number; worker: string } | undefined;
  lanes: ReadonlyMap<string, LaneFact>;
  /** Sessions of workers that have waited for a lock of the database for longer than is usual. */
  blocked: { sessions: number; longestMs: number; by: readonly string[] } | undefined;
  /** Of the tenant's services, by name. */
  circuits: ReadonlyMap<string, { state: string; since: number; worker: string; instanceId: string }>;
}

export interface RunFacts extends Surroundings {
  /** Of the features. */
  waitCauses?: readonly WaitCause[] | undefined;
  /** By action, what features have read of those that wait. */
  whyWaiting?: ReadonlyMap<string, Cause> | undefined;
  now: number;
  run: RunFact;
  actions: readonly ActionFact[];
  /** By action; items and iterations under their own ids. Undefined: the table could not be read in time. */
  tasks: ReadonlyMap<string, TaskFact> | undefined;
  /** Of an action with items or iterations, and of compensations (`~saga`): how many there are, and how many are still open. */
  parts: ReadonlyMap<string, { total: number; open: number }>;
  /** Of the tasks that could go on, as far as they were read. */
  jobs: ReadonlyMap<string, JobFact>;
  /** Of the finalizer, when every action is final. */
  finalizer: JobFact | undefined;
  waits: ReadonlyMap<string, WaitFact>;
  waitsSince: ReadonlyMap<string, number>;
  externals: ReadonlyMap<string, ExternalFact>;
  children: ReadonlyMap<string, ChildFact>;
  /** The rate-limit slots of calls that wait for one. */
  rateSlots: ReadonlyMap<string, number>;
  group: GroupFact | undefined;
  window: { used: number; size: number; ahead: number; ofTenant: number } | undefined;
}
export type WaitFact = { deadline: Instant | null } & (
  | { kind: 'approval'; message: string | null; approvers: string[]; escalated: boolean }
  | { kind: 'signal'; name: string }
);
export interface ChildFact {
  runId: string;
  status: string;
  createdAt: number;
  /** Why that one is not finished; undefined below the depth that is read. */
  why: Explanation | undefined;
}
export interface GroupFact {
  key: string;
  limit: number;
  holders: readonly string[];
  behind: number;
}
