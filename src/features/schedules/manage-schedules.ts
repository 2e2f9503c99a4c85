/** Creates, changes, pauses and triggers schedules, for the API. Their runs are started by `tick-schedules.ts`. */

import { checkParameters } from '../../domain/definition/parameters.ts';
import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import { type TextChecker, withChecks } from '../../engine/accept/with-checks.ts';
import type { WorkflowStore } from '../../engine/ports/read-models.ts';
import type { AcceptedRun, AcceptRuns, Caller } from '../../engine/ports/use-cases.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { cronFault, jitterMs, nextSlot, nextSlots, type Overlap, type Timing } from './domain.ts';
import type { Schedule, ScheduleStore, SlotRecord } from './ports.ts';
import { callerOf } from './tick-schedules.ts';
import { isTimeZone } from './time-zone.ts';

/** At most one of the three timings is set. */
export interface ScheduleFields {
  name?: string | undefined;
  workflow_id?: string | undefined;
  parameters?: JsonObject | undefined;
  cron?: string | undefined;
  interval_seconds?: number | undefined;
  at?: string | undefined;
  timezone?: string | undefined;
  overlap?: Overlap | undefined;
  catchup_window_seconds?: number | undefined;
  jitter_seconds?: number | undefined;
  paused?: boolean | undefined;
}

/** A schedule with its next moments (jitter included) and what became of its last slots. */
export interface ScheduleView {
  schedule: Schedule;
  nextRuns: number[];
  recent: SlotRecord[];
}

export interface Schedules {
  create(caller: Caller, fields: ScheduleFields): Promise<ScheduleView>;
  get(caller: Caller, id: string): Promise<ScheduleView>;
  list(
    caller: Caller,
    filter: { page: number; pageSize: number; workflowId: string | undefined; paused: boolean | undefined },
  ): Promise<{ items: ScheduleView[]; total: number }>;
  update(caller: Caller, id: string, fields: ScheduleFields): Promise<ScheduleView>;
  setPaused(caller: Caller, id: string, paused: boolean): Promise<ScheduleView>;
  remove(caller: Caller, id: string): Promise<void>;
  /** Starts a run now, whatever the overlap policy says and paused or not. */
  trigger(caller: Caller, id: string, idempotencyKey: string | undefined): Promise<AcceptedRun>;
}

export interface SchedulesDeps {
  schedules: ScheduleStore;
  workflows: Pick<WorkflowStore, 'find'>;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  /** Tries patterns on parameters. */
  texts: TextChecker;
  newId(): string;
  now(): number;
}

export const DEFAULT_CATCHUP_SECONDS = 60;
const MAX_SCHEDULES = 10_000;
const NEXT_RUNS = 10;
const RECENT = 20;

export function createSchedules(deps: SchedulesDeps): Schedules {
  const { schedules } = deps;

  /** All that can be wrong with a schedule, at once. The id of its workflow, which it may name by `system:<name>`. */
  async function check(caller: Caller, schedule: Schedule, isNewTiming: boolean): Promise<string> {
    const { timing, timezone } = schedule;
    const malformed: FieldFault[] = [];
    const cron = 'cron' in timing ? cronFault(timing.cron) : undefined;
    if (cron !== undefined) malformed.push({ path: 'cron', message: cron });
    if (!isTimeZone(timezone)) {
      malformed.push({ path: 'timezone', message: `'${timezone}' is not a time zone, such as Europe/Berlin or UTC` });
    }
    if ('intervalSeconds' in timing && schedule.jitterSeconds >= timing.intervalSeconds && schedule.jitterSeconds > 0) {
      malformed.push({ path: 'jitter_seconds', message: 'must be less than interval_seconds' });
    }
    if (malformed.length > 0) throw invalid('invalid_request', malformed);
    const workflow = await deps.workflows.find(caller.tenantId, schedule.workflowId);
    const impossible: FieldFault[] = [];
    if (workflow === undefined) impossible.push({ path: 'workflow_id', message: 'names no workflow' });
    if (isNewTiming && nextSlot(timing, deps.now()) === undefined) {
      impossible.push(
        'cron' in timing
          ? { path: 'cron', message: `'${timing.cron}' names no moment of any year` }
          : { path: 'at', message: 'lies in the past' },
      );
    }
    if (workflow === undefined || impossible.length > 0) throw invalid('definition_invalid', impossible);
    await withChecks(deps.texts, caller.tenantId, (checks) =>
      checkParameters(workflow.definition.parameters, schedule.parameters, false, checks),
    );
    return workflow.id;
  }

  const view = (schedule: Schedule, count: number, recent: SlotRecord[] = []): ScheduleView => {
    const after = Math.max(schedule.lastSlot, deps.now());
    const slots = schedule.paused ? [] : nextSlots(schedule.timing, after, count);
    return { schedule, nextRuns: slots.map((slot) => dueOf(schedule, slot)), recent };
  };
  const withRecent = async (schedule: Schedule) =>
    view(schedule, NEXT_RUNS, await schedules.recent(schedule.id, RECENT));

  async function find(caller: Caller, id: string): Promise<Schedule> {
    const found = await schedules.find(caller.tenantId, id);
    if (found === undefined) throw unknown();
    return found;
  }

  async function change(caller: Caller, id: string, apply: (current: Schedule) => Schedule): Promise<ScheduleView> {
    const changed = await schedules.change(caller.tenantId, id, (current, waits) => {
      const schedule = apply(current);
      // What waits for the end of a run is checked at once.
      const nextCheckAt = waits && !schedule.paused ? deps.now() : nextCheckOf(schedule);
      return { schedule, nextCheckAt: nextCheckAt };
    });
    if (changed === 'unknown') throw unknown();
    if (changed === 'name_taken') throw nameTaken();
    return withRecent(changed);
  }

  return {
    async create(caller, fields) {
      const now = deps.now();
      const timing = timingOf(fields, fields.timezone ?? 'UTC', now);
      if (timing === undefined || fields.name === undefined || fields.workflow_id === undefined)
        throw new Error('the schema lets no such request pass');
      const requested: Schedule = {
        id: deps.newId(),
        tenantId: caller.tenantId,
        name: fields.name,
        workflowId: fields.workflow_id,
        parameters: fields.parameters ?? {},
        timing,
        timezone: fields.timezone ?? 'UTC',
        overlap: fields.overlap ?? 'skip',
        catchupSeconds: fields.catchup_window_seconds ?? DEFAULT_CATCHUP_SECONDS,
        jitterSeconds: fields.jitter_seconds ?? 0,
        paused: fields.paused ?? false,
        pauseReason: null,
        lastSlot: now,
        createdBy: caller.userId,
        createdAt: new Date(now),
        updatedAt: new Date(now),
      };
      const schedule = { ...requested, workflowId: await check(caller, requested, true) };
      const outcome = await schedules.create(schedule, nextCheckOf(schedule), MAX_SCHEDULES);
      if (outcome === 'name_taken') throw nameTaken();
      if (outcome === 'too_many')
        throw new OrchestratorError('conflict', `There are ${MAX_SCHEDULES} schedules already; delete one first`);
      return withRecent(schedule);
    },
    get: async (caller, id) => withRecent(await find(caller, id)),
    async list(caller, filter) {
      const { items, total } = await schedules.list(caller.tenantId, filter);
      return { items: items.map((schedule) => view(schedule, 1)), total };
    },
    async update(caller, id, fields) {
      const now = deps.now();
      const apply = (current: Schedule) => changed(current, fields, now);
      const before = await find(caller, id);
      const isNewTiming = JSON.stringify(apply(before).timing) !== JSON.stringify(before.timing);
      const workflowId = await check(caller, apply(before), isNewTiming);
      return change(caller, id, (current) => {
        const schedule = apply(current);
        return fields.workflow_id === undefined ? schedule : { ...schedule, workflowId };
      });
    },
    setPaused: (caller, id, paused) => change(caller, id, (current) => changed(current, { paused }, deps.now())),
    async remove(caller, id) {
      if (!(await schedules.remove(caller.tenantId, id))) throw unknown();
    },
    async trigger(caller, id, idempotencyKey) {
      const schedule = await find(caller, id);
      const now = deps.now();
      const run = await deps.accept.executeWorkflow(
        { ...callerOf(schedule, caller.traceId), userId: caller.userId },
        schedule.workflowId,
        {
          parameters: schedule.parameters,
          idempotency_key: `schedule:${id}:trigger:${idempotencyKey ?? deps.newId()}`,
          strict: false,
        },
      );
      if (!run.repeated)
        await schedules.record(id, [{ slot: now, kind: 'trigger', status: 'started', reason: null, runId: run.id }]);
      return run;
    },
  };
}

/** A new timing, and the end of a pause, count from now: earlier slots are not caught up. */
function changed(current: Schedule, fields: ScheduleFields, now: number): Schedule {
  const timezone = fields.timezone ?? current.timezone;
  const unchanged = 'cron' in current.timing ? { ...current.timing, timezone } : current.timing;
  const timing = timingOf(fields, timezone, now) ?? unchanged;
  const paused = fields.paused ?? current.paused;
  const restarts = timing !== unchanged || timezone !== current.timezone || (current.paused && !paused);
  return {
    ...current,
    name: fields.name ?? current.name,
    workflowId: fields.workflow_id ?? current.workflowId,
    parameters: fields.parameters ?? current.parameters,
    timing,
    timezone,
    overlap: fields.overlap ?? current.overlap,
    catchupSeconds: fields.catchup_window_seconds ?? current.catchupSeconds,
    jitterSeconds: fields.jitter_seconds ?? current.jitterSeconds,
    paused,
    pauseReason: paused ? current.pauseReason : null,
    lastSlot: restarts ? Math.max(now, current.lastSlot) : current.lastSlot,
  };
}

function timingOf(fields: ScheduleFields, timezone: string, now: number): Timing | undefined {
  if (fields.cron !== undefined) return { cron: fields.cron, timezone };
  if (fields.interval_seconds !== undefined) return { intervalSeconds: fields.interval_seconds, anchorMs: now };
  return fields.at === undefined ? undefined : { atMs: Date.parse(fields.at) };
}

function nextCheckOf(schedule: Schedule): number | undefined {
  if (schedule.paused) return undefined;
  const slot = nextSlot(schedule.timing, schedule.lastSlot);
  return slot === undefined ? undefined : dueOf(schedule, slot);
}

function dueOf({ id, jitterSeconds }: Schedule, slot: number): number {
  return slot + jitterMs(id, slot, jitterSeconds);
}

function invalid(code: 'invalid_request' | 'definition_invalid', errors: FieldFault[]): OrchestratorError {
  const named = errors.map(({ path, message }) => `${path} ${message}`).join('; ');
  return new OrchestratorError(
    code,
    `The schedule ${code === 'invalid_request' ? 'is not valid' : 'cannot work'}: ${named}`,
    {
      errors,
    },
  );
}

function unknown(): OrchestratorError {
  return new OrchestratorError('not_found', 'Schedule not found');
}

function nameTaken(): OrchestratorError {
  const message = 'is the name of another schedule';
  return new OrchestratorError('conflict', `name ${message}`, { errors: [{ path: 'name', message }] });
}
