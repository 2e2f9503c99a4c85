/** Schedules as they are stored, and the ticks that start their runs. `store/` and `queue/` implement it. */

import type { JsonObject } from '../../schemas/json.ts';
import type { Overlap, Timing } from './domain.ts';

export interface Schedule {
  id: string;
  tenantId: string;
  name: string;
  workflowId: string;
  parameters: JsonObject;
  timing: Timing;
  /** Also of a schedule that has no expression: it is stored for when it gets one. */
  timezone: string;
  overlap: Overlap;
  catchupSeconds: number;
  jitterSeconds: number;
  paused: boolean;
  pauseReason: string | null;
  /** The last slot that something was decided about, in milliseconds. */
  lastSlot: number;
  createdBy: string;
  createdAt: Date;
  updatedAt: Date;
}

/**
 * What became of a slot. `waiting`: for the end of the run before. `missed`: it and those after it were too old to be
 * started. `refused`: the workflow did not take the run.
 */
export type SlotStatus = 'waiting' | 'started' | 'skipped' | 'missed' | 'refused';
export interface SlotRecord {
  slot: number;
  /** `trigger`: started manually at that moment. */
  kind: 'slot' | 'trigger';
  status: SlotStatus;
  reason: string | null;
  runId: string | null;
}

export interface DueSchedule {
  schedule: Schedule;
  /** By the clock of the database, the same for all processes. */
  now: number;
  /** Runs of the schedule that have not ended. */
  active: string[];
  /** Slots that wait, oldest first. */
  waiting: number[];
}
export interface SlotVerdict {
  records: SlotRecord[];
  lastSlot: number;
  /** Undefined: nothing is left to be checked. */
  nextCheckAt: number | undefined;
  /** The schedule is paused for this reason. */
  pause?: string;
}

/** What a change of a schedule leads to. */
export interface ChangedSchedule {
  schedule: Schedule;
  nextCheckAt: number | undefined;
}

export interface ScheduleStore {
  /** `name_taken`: the tenant has another one of that name. `too_many`: it has `limit` already. */
  create(
    schedule: Schedule,
    nextCheckAt: number | undefined,
    limit: number,
  ): Promise<'created' | 'name_taken' | 'too_many'>;
  find(tenantId: string, id: string): Promise<Schedule | undefined>;
  list(
    tenantId: string,
    filter: { page: number; pageSize: number; workflowId: string | undefined; paused: boolean | undefined },
  ): Promise<{ items: Schedule[]; total: number }>;
  /** While nobody else can change it or start its runs. */
  change(
    tenantId: string,
    id: string,
    change: (current: Schedule, waits: boolean) => ChangedSchedule,
  ): Promise<Schedule | 'unknown' | 'name_taken'>;
  remove(tenantId: string, id: string): Promise<boolean>;
  /** Newest first. */
  recent(scheduleId: string, limit: number): Promise<SlotRecord[]>;
  record(scheduleId: string, records: readonly SlotRecord[]): Promise<void>;
}

export interface DueSchedules {
  /** The run that was started under this key. */
  runOf(tenantId: string, idempotencyKey: string): Promise<string | undefined>;
  /** Takes the schedule that is due longest and that nobody else has in hand; false when there is none. */
  withDue(work: (due: DueSchedule) => Promise<SlotVerdict>): Promise<boolean>;
  /** How long the schedule that is due longest has been so (negative: it is due later); undefined when none ever will be. */
  latenessMs(): Promise<number | undefined>;
}
