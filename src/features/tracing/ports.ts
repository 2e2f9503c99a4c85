/** Reads traces for the API: of runs, from the rows that there are, and of the calls that were written down. */
import type { RunStatus, TaskStatus } from '../../domain/runs/run-states.ts';
import type { Json } from '../../schemas/json.ts';

export interface RunRecord {
  id: string;
  name: string;
  workflow_id: string | null;
  workflow_version: number | null;
  status: RunStatus;
  final: boolean;
  epoch: number;
  error: Json;
  correlation_id: string | null;
  parent_span_id: string | null;
  parent_run_id: string | null;
  parent_action_id: string | null;
  parent_epoch: number | null;
  parent_attempt: number | null;
  created_at: Date;
  finished_at: Date | null;
}

export interface TaskRecord {
  run_id: string;
  action_id: string;
  action_type: string;
  status: TaskStatus;
  final: boolean;
  epoch: number;
  ended_attempt: number;
  parent_id: string | null;
  worker: string | null;
  error: Json;
  started_at: Date | null;
  finished_at: Date | null;
}

export interface AttemptRecord {
  run_id: string;
  action_id: string;
  epoch: number;
  attempt: number;
  status: string;
  error: Json;
  worker: string | null;
  started_at: Date;
  finished_at: Date;
}

export type EndedRun = RunRecord & { tenant_id: string; trace_id: string };

/** A run that has ended. */
export interface EndedRecord {
  run: EndedRun;
  tasks: readonly TaskRecord[];
  /** Of each task of a run that was reopened. */
  firstAttempts: readonly AttemptRecord[];
  /** Undefined: it was not. */
  reopenedAt: Date | undefined;
}

export interface EndedRunStore {
  /** Those that have ended, have a trace and are wanted. */
  read(runIds: readonly string[], isWanted: (run: EndedRun) => boolean): Promise<EndedRecord[]>;
}

export interface CallRecord {
  span_id: string;
  parent_id: string;
  kind: string;
  run_id: string;
  action_id: string | null;
  epoch: number | null;
  attempt: number | null;
  service: string;
  method: string;
  host: string;
  status: number | null;
  error: string | null;
  started_at: Date;
  finished_at: Date;
}

export interface TraceRecords {
  runs: readonly RunRecord[];
  tasks: readonly TaskRecord[];
  attempts: readonly AttemptRecord[];
  calls: readonly CallRecord[];
  /** Some of them were left out. */
  truncated: boolean;
}

export interface TraceCounts {
  total: number;
  active: number;
  failed: number;
  /** On average, of those that are over. */
  seconds: number;
  /** When the oldest one that was counted started. */
  since: Date | null;
}

/** A trace that called a service. */
export interface ServiceTrace {
  traceId: string;
  calls: number;
  errors: number;
  first: Date;
  last: Date;
  /** Null: no run is left of it. */
  over: boolean | null;
  failed: boolean | null;
  started: Date | null;
  ended: Date | null;
}

export interface TraceReader {
  stats(tenantId: string, hours: number): Promise<TraceCounts>;
  /** An unknown one has no records. `now`: by the clock of the database. */
  trace(tenantId: string, traceId: string): Promise<{ records: TraceRecords; now: Date }>;
  /** The newest first. */
  ofService(tenantId: string, service: string, limit: number): Promise<{ traces: ServiceTrace[]; total: number }>;
}

/** What this program is called among the services. */
export const OWN_SERVICE = 'orchestrator';
