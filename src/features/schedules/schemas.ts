/** Requests and responses of the API about schedules. */
import { z } from 'zod';
import { count, FLOW, object, pageExample, paging, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { id } from '../../schemas/ids.ts';
import { jsonObject, runStatus } from '../../schemas/requests.ts';

const SCHEDULE = '0197c2a1-7f10-7b21-8c44-2d5e6f708192';
const YEAR_SECONDS = 31_536_000;
const DAY_SECONDS = 86_400;
const MAX_CRON_LENGTH = 255;

const timings = ['cron', 'interval_seconds', 'at'] as const;

const fields = {
  name: id.meta({ description: 'Unique among the schedules of the tenant', example: 'nightly report' }),
  workflow_id: id.meta({
    description: 'The workflow to run, in the version that is the newest at that time',
    example: FLOW,
  }),
  parameters: jsonObject.optional().meta({ description: 'Parameters of every execution', example: { price: 42 } }),
  cron: z.string().max(MAX_CRON_LENGTH).optional().meta({
    description:
      'A cron expression with five fields (minute, hour, day of month, month, day of week), or six with the second first, or @hourly and the like',
    example: '0 9 * * 1-5',
  }),
  interval_seconds: z
    .int()
    .min(1)
    .max(YEAR_SECONDS)
    .optional()
    .meta({ description: 'Interval in seconds, counted from the creation of the schedule', example: 3600 }),
  at: z.iso
    .datetime({ offset: true })
    .optional()
    .meta({ description: 'Runs once, at this time', example: '2030-01-01T09:00:00+01:00' }),
  timezone: z.string().min(1).max(64).optional().meta({
    description:
      'Time zone of `cron`; UTC by default. A time that does not exist on a day is moved to the first moment after it, and one that occurs twice is used the first time; an expression that runs every hour keeps its interval',
    example: 'Europe/Berlin',
  }),
  overlap: z.enum(['skip', 'queue', 'cancel_previous', 'allow']).optional().meta({
    description:
      'What to do when the previous execution has not ended: skip the slot (the default), start after the previous one ends, cancel the previous one first, or run both',
    example: 'skip',
  }),
  catchup_window_seconds: z.int().min(0).max(YEAR_SECONDS).optional().meta({
    description: 'How long a missed slot may still be started; 60 by default',
    example: 3600,
  }),
  jitter_seconds: z.int().min(0).max(DAY_SECONDS).optional().meta({
    description: 'Maximum random delay of the start of a slot; always the same delay for the same slot',
    example: 0,
  }),
  paused: z.boolean().optional().meta({ example: false }),
};

const timingsOf = (request: Record<string, unknown>) =>
  timings.filter((timing) => request[timing] !== undefined).length;

export const scheduleRequest = z
  .strictObject(fields)
  .refine((request) => timingsOf(request) === 1, {
    path: ['cron'],
    error: 'give one of cron, interval_seconds and at, and only one',
  })
  .meta({
    id: 'ScheduleRequest',
    example: { name: 'nightly report', workflow_id: FLOW, cron: '0 2 * * *', timezone: 'Europe/Berlin' },
  });

export const scheduleUpdate = z
  .strictObject({ ...fields, name: fields.name.optional(), workflow_id: fields.workflow_id.optional() })
  .refine((request) => timingsOf(request) <= 1, {
    path: ['cron'],
    error: 'give only one of cron, interval_seconds and at',
  })
  .meta({ id: 'ScheduleUpdate', example: { cron: '0 3 * * *' } });

const integer = (min: number, max: number) => z.coerce.number<string>().int().min(min).max(max);
export const scheduleListQuery = z.object({
  page: integer(1, 1_000_000).default(1).meta({ example: 1 }),
  page_size: integer(1, 200).default(50).meta({ example: 50 }),
  workflow_id: id.optional(),
  paused: z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .optional(),
});

const shown = {
  schedule_id: text,
  name: text,
  workflow_id: text,
  parameters: object,
  cron: text.nullable(),
  interval_seconds: count.nullable(),
  at: time.nullable(),
  timezone: text,
  overlap: z.enum(['skip', 'queue', 'cancel_previous', 'allow']),
  catchup_window_seconds: count,
  jitter_seconds: count,
  paused: z.boolean(),
  pause_reason: text.nullable().meta({ description: '`workflow_deleted` when it was not paused manually' }),
  next_run: time.nullable().meta({ description: 'With jitter; null while paused and when no run is left' }),
  created_by: text,
  created_at: time,
  updated_at: time,
};
const example = {
  schedule_id: SCHEDULE,
  name: 'nightly report',
  workflow_id: FLOW,
  parameters: {},
  cron: '0 2 * * *',
  interval_seconds: null,
  at: null,
  timezone: 'Europe/Berlin',
  overlap: 'skip' as const,
  catchup_window_seconds: 60,
  jitter_seconds: 0,
  paused: false,
  pause_reason: null,
  next_run: WHEN,
  created_by: 'anonymous',
  created_at: WHEN,
  updated_at: WHEN,
};

const slot = z
  .object({
    slot: time,
    kind: z.enum(['slot', 'trigger']),
    status: z.enum(['waiting', 'started', 'skipped', 'missed', 'refused']),
    reason: text.nullable(),
    execution_id: text.nullable(),
  })
  .meta({ id: 'ScheduleSlot' });

export const scheduleSummary = z.object(shown).meta({ id: 'ScheduleSummary', example });
export const schedule = z
  .object({
    ...shown,
    next_runs: z.array(time).meta({ description: 'The next ten run times' }),
    recent: z.array(slot).meta({ description: 'Results of the last slots and triggers, newest first' }),
  })
  .meta({
    id: 'Schedule',
    example: {
      ...example,
      next_runs: [WHEN],
      recent: [{ slot: WHEN, kind: 'slot', status: 'started', reason: null, execution_id: RUN }],
    },
  });

export const scheduleList = z
  .object({
    items: z.array(scheduleSummary),
    ...paging,
  })
  .meta({ id: 'ScheduleList', example: pageExample(scheduleSummary) });

export const triggeredSchedule = z
  .object({ schedule_id: text, execution_id: text, workflow_version: z.int().nullable(), status: runStatus })
  .meta({
    id: 'TriggeredSchedule',
    example: { schedule_id: SCHEDULE, execution_id: RUN, workflow_version: 1, status: 'pending' },
  });

export type ScheduleAnswer = z.infer<typeof schedule>;
export type ScheduleSummary = z.infer<typeof scheduleSummary>;
