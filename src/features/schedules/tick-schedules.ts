/**
 * Starts the runs of schedules whose time has come. A schedule is locked by one process at a time, and the run of a slot is
 * accepted under a key made of schedule and slot: after a crash between its commit and that of the
 * schedule the next tick finds the run.
 */
import { OrchestratorError } from '../../domain/errors.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { AcceptRuns, Caller, CancelRuns } from '../../engine/ports/use-cases.ts';
import { dueSlots, onOverlap } from './domain.ts';
import type { DueSchedule, DueSchedules, Schedule, SlotRecord, SlotVerdict } from './ports.ts';

export interface TickDeps {
  schedules: Pick<DueSchedules, 'withDue' | 'runOf'>;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  cancel: Pick<CancelRuns, 'cancelRun'>;
  newTraceId(): string;
  log: Logger;
}

const SCHEDULES_PER_TICK = 1_000;
/** A long backlog lets other schedules in between. */
const SLOTS_PER_PASS = 50;
const MAX_WAITING = 1_000;
/** How often the end of the run before is polled for. */
const WAIT_POLL_MS = 1_000;
const AFTER_FAULT_MS = 5_000;

/** How many schedules were checked. */
export async function tickSchedules(deps: TickDeps, signal: AbortSignal): Promise<number> {
  let taken = 0;
  while (taken < SCHEDULES_PER_TICK && !signal.aborted) {
    if (!(await deps.schedules.withDue((due) => onItsOwn(deps, due)))) break;
    taken += 1;
  }
  return taken;
}

export function slotKey(scheduleId: string, slot: number): string {
  return `schedule:${scheduleId}:${new Date(slot).toISOString()}`;
}

export function callerOf(schedule: Schedule, traceId: string): Caller {
  const { id, tenantId, createdBy } = schedule;
  return { tenantId, userId: createdBy, correlationId: id, traceId };
}

/** One that cannot be started must not block the others. What was accepted before the fault is found next time. */
async function onItsOwn(deps: TickDeps, due: DueSchedule): Promise<SlotVerdict> {
  try {
    return await settle(deps, due);
  } catch (error) {
    const message = errorMessage(error);
    deps.log.error('schedule_not_handled', { schedule_id: due.schedule.id, error: message });
    return { records: [], lastSlot: due.schedule.lastSlot, nextCheckAt: due.now + AFTER_FAULT_MS };
  }
}

async function settle(deps: TickDeps, { schedule, now, active: running, waiting: stored }: DueSchedule) {
  const records = new Map<number, SlotRecord>();
  const active = [...running];
  let waiting = [...stored];
  let pause: string | undefined;
  const decide = (slot: number, status: SlotRecord['status'], reason: string | null, runId: string | null = null) => {
    records.set(slot, { slot, kind: 'slot', status, reason, runId });
  };
  const recordStart = (slot: number, runId: string) => {
    decide(slot, 'started', null, runId);
    active.push(runId);
  };
  const start = async (slot: number) => {
    const started = await startRun(deps, schedule, slot);
    if ('runId' in started) return recordStart(slot, started.runId);
    decide(slot, 'refused', started.rejection);
    if (started.gone) pause = 'workflow_deleted';
  };

  const [first] = waiting;
  if (first !== undefined && active.length === 0) {
    waiting.shift();
    await start(first);
  }

  const due = dueSlots(schedule, schedule.lastSlot, now, SLOTS_PER_PASS);
  if (due.missed !== undefined) {
    const until = new Date(due.missedUntil).toISOString();
    decide(due.missed, 'missed', `older than the catch-up window, as every later slot before ${until}`);
    deps.log.warn('schedule_slots_missed', {
      schedule_id: schedule.id,
      from: new Date(due.missed).toISOString(),
      until,
    });
  }
  for (const slot of due.slots) {
    // After a pause slots count from its end, so the rest is dropped.
    if (pause !== undefined) break;
    const next = onOverlap(schedule.overlap, active.length, waiting.length);
    if (next === 'start') {
      await start(slot);
      continue;
    }
    // By somebody who died before it could be written down.
    const startedRun = await deps.schedules.runOf(schedule.tenantId, slotKey(schedule.id, slot));
    if (startedRun !== undefined) recordStart(slot, startedRun);
    else if (next === 'skip') decide(slot, 'skipped', 'the run before has not ended');
    else if (next === 'wait' && waiting.length >= MAX_WAITING)
      decide(slot, 'skipped', `${MAX_WAITING} slots wait already`);
    else {
      if (next === 'replace') {
        for (const older of waiting) decide(older, 'skipped', 'a later slot came before it could be started');
        waiting = [];
        await cancelAll(deps, schedule, active);
      }
      decide(slot, 'waiting', 'for the end of the run before');
      waiting.push(slot);
    }
  }
  const later = due.nextDue === undefined ? Number.POSITIVE_INFINITY : Math.max(due.nextDue, now);
  const nextCheck = Math.min(later, waiting.length > 0 ? now + WAIT_POLL_MS : Number.POSITIVE_INFINITY);
  return {
    records: [...records.values()],
    lastSlot: due.last,
    nextCheckAt: Number.isFinite(nextCheck) ? nextCheck : undefined,
    ...(pause === undefined ? {} : { pause }),
  };
}

async function startRun(
  deps: TickDeps,
  schedule: Schedule,
  slot: number,
): Promise<{ runId: string } | { rejection: string; gone: boolean }> {
  const key = slotKey(schedule.id, slot);
  const startedRun = await deps.schedules.runOf(schedule.tenantId, key);
  if (startedRun !== undefined) return { runId: startedRun };
  try {
    const { id } = await deps.accept.executeWorkflow(callerOf(schedule, deps.newTraceId()), schedule.workflowId, {
      parameters: schedule.parameters,
      idempotency_key: key,
      strict: false,
    });
    return { runId: id };
  } catch (error) {
    if (!(error instanceof OrchestratorError) || error.status >= 500 || error.status === 429) throw error;
    deps.log.warn('schedule_slot_refused', { schedule_id: schedule.id, code: error.code, error: error.message });
    return { rejection: `${error.code}: ${error.message}`, gone: error.code === 'not_found' };
  }
}

async function cancelAll(deps: TickDeps, schedule: Schedule, runIds: readonly string[]): Promise<void> {
  for (const runId of runIds) {
    try {
      await deps.cancel.cancelRun(
        callerOf(schedule, deps.newTraceId()),
        runId,
        `The next slot of '${schedule.name}' is due`,
      );
    } catch (error) {
      // It ended by itself in the meantime.
      if (!(error instanceof OrchestratorError) || error.code !== 'already_final') throw error;
    }
  }
}
