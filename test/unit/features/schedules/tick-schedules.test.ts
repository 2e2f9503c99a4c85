/** What becomes of due slots, over a store in memory: crashes in between, and what a workflow rejects. */
import { describe, expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import type { Overlap } from '../../../../src/features/schedules/domain.ts';
import type { DueSchedule, Schedule, SlotRecord, SlotVerdict } from '../../../../src/features/schedules/ports.ts';
import { slotKey, tickSchedules } from '../../../../src/features/schedules/tick-schedules.ts';
import { createScheduleWatch } from '../../../../src/features/schedules/watch-schedules.ts';

const T0 = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function world(given: { overlap?: Overlap; catchupSeconds?: number } = {}) {
  const schedule: Schedule = {
    id: 's',
    tenantId: 't',
    name: 'minutely',
    workflowId: 'w',
    parameters: { n: 1 },
    timing: { intervalSeconds: 60, anchorMs: T0 },
    timezone: 'UTC',
    overlap: given.overlap ?? 'allow',
    catchupSeconds: given.catchupSeconds ?? 3600,
    jitterSeconds: 0,
    paused: false,
    pauseReason: null,
    lastSlot: T0,
    createdBy: 'ann',
    createdAt: new Date(T0),
    updatedAt: new Date(T0),
  };
  const state = {
    now: T0,
    lookAt: T0 as number | undefined,
    records: new Map<number, SlotRecord>(),
    /** Key -> run, as in the table of runs. */
    runs: new Map<string, string>(),
    ended: new Set<string>(),
    cancelled: [] as string[],
    /** Thrown by the next acceptance, after or before it took the run. */
    fault: undefined as { error: Error; after: boolean } | undefined,
    /** Dies before the schedule is written. */
    dies: false,
  };
  const statuses = (status: SlotRecord['status']) =>
    [...state.records.values()].filter((record) => record.status === status).map(({ slot }) => (slot - T0) / MINUTE);
  const deps = {
    schedules: {
      async runOf(_tenant: string, key: string) {
        return state.runs.get(key);
      },
      async withDue(work: (due: DueSchedule) => Promise<SlotVerdict>) {
        if (schedule.paused || state.lookAt === undefined || state.lookAt > state.now) return false;
        const active = [...state.records.values()].flatMap(({ runId }) =>
          runId === null || state.ended.has(runId) ? [] : [runId],
        );
        const waiting = [...state.records.values()]
          .filter(({ status }) => status === 'waiting')
          .map(({ slot }) => slot);
        const verdict = await work({
          schedule: { ...schedule },
          now: state.now,
          active,
          waiting: waiting.sort((a, b) => a - b),
        });
        if (state.dies) throw new Error('died');
        for (const record of verdict.records) state.records.set(record.slot, record);
        schedule.lastSlot = verdict.lastSlot;
        schedule.paused = verdict.pause !== undefined;
        schedule.pauseReason = verdict.pause ?? null;
        state.lookAt = verdict.nextCheckAt;
        return true;
      },
    },
    accept: {
      async executeWorkflow(_caller: object, _workflow: string, request: { idempotency_key?: string | undefined }) {
        const { fault } = state;
        state.fault = undefined;
        if (fault !== undefined && !fault.after) throw fault.error;
        const key = request.idempotency_key ?? '';
        const id = state.runs.get(key) ?? `run${state.runs.size + 1}`;
        state.runs.set(key, id);
        if (fault !== undefined) throw fault.error;
        return {
          id,
          status: 'pending' as const,
          workflowId: 'w',
          workflowVersion: 1,
          createdAt: new Date(state.now),
          warnings: [],
          repeated: false,
        };
      },
    },
    cancel: {
      async cancelRun(_caller: object, runId: string) {
        state.cancelled.push(runId);
        return 'cancelling' as const;
      },
    },
    newTraceId: () => '0'.repeat(32),
    log: quiet,
  };
  const tick = (minutes: number) => {
    state.now = T0 + minutes * MINUTE;
    return tickSchedules(deps, new AbortController().signal);
  };
  return { schedule, state, statuses, tick };
}

test('each slot starts one run, under the key of schedule and slot', async () => {
  const { state, statuses, tick } = world();
  for (const minutes of [0.5, 1, 1, 2.2, 5]) await tick(minutes);
  expect(statuses('started')).toEqual([1, 2, 3, 4, 5]);
  expect([...state.runs.keys()]).toEqual([1, 2, 3, 4, 5].map((minute) => slotKey('s', T0 + minute * MINUTE)));
});

test.each(['skip', 'queue', 'cancel_previous', 'allow'] as const)(
  'who dies after the run was accepted leaves it to be found: one run, on record (%s)',
  async (overlap) => {
    const { state, statuses, tick } = world({ overlap });
    state.dies = true;
    await expect(tick(1)).rejects.toThrow('died');
    expect(state.runs.size).toBe(1);
    state.dies = false;
    // Somebody else has started another one manually since.
    state.records.set(T0 + 1, { slot: T0 + 1, kind: 'trigger', status: 'started', reason: null, runId: 'by hand' });
    await tick(1.01);
    expect(state.runs.size).toBe(1);
    expect(state.records.get(T0 + MINUTE)).toMatchObject({ status: 'started', runId: 'run1' });
    expect(statuses('waiting')).toEqual([]);
    expect(state.cancelled).toEqual([]);
  },
);

test('a fault leaves the slot to the next time, and does not double what was accepted before it', async () => {
  const { state, statuses, tick } = world();
  state.fault = { error: new Error('no answer'), after: true };
  await tick(1);
  expect(statuses('started')).toEqual([]);
  await tick(1.2);
  expect(statuses('started')).toEqual([1]);
  expect(state.runs.size).toBe(1);
});

test('the queue being full is no word about the slot', async () => {
  const { state, statuses, tick } = world();
  state.fault = { error: new OrchestratorError('queue_full', 'full'), after: false };
  await tick(1);
  await tick(1.2);
  expect(statuses('started')).toEqual([1]);
});

describe('slots that wait', () => {
  test('queue: start one after the other, oldest first', async () => {
    const { state, statuses, tick } = world({ overlap: 'queue' });
    for (const minutes of [1, 2, 3]) await tick(minutes);
    expect([statuses('started'), statuses('waiting')]).toEqual([[1], [2, 3]]);
    state.ended.add('run1');
    await tick(3.1);
    await tick(3.2);
    expect([statuses('started'), statuses('waiting')]).toEqual([[1, 2], [3]]);
    state.ended.add('run2');
    await tick(3.3);
    expect([statuses('started'), statuses('waiting')]).toEqual([[1, 2, 3], []]);
  });

  test('cancel_previous: only the newest waits, for a run that was cancelled', async () => {
    const { state, statuses, tick } = world({ overlap: 'cancel_previous' });
    for (const minutes of [1, 2, 3]) await tick(minutes);
    expect([statuses('started'), statuses('skipped'), statuses('waiting')]).toEqual([[1], [2], [3]]);
    expect(new Set(state.cancelled)).toEqual(new Set(['run1']));
    state.ended.add('run1');
    await tick(3.1);
    expect(statuses('started')).toEqual([1, 3]);
  });

  test('do not grow beyond their bound', async () => {
    const { statuses, tick } = world({ overlap: 'queue', catchupSeconds: 1_000_000 });
    await tick(1_100);
    expect(statuses('waiting')).toHaveLength(1_000);
    expect(statuses('skipped')).toHaveLength(99);
  });
});

test('skip: a slot beside another run is skipped, and the next one is started when it has ended', async () => {
  const { state, statuses, tick } = world({ overlap: 'skip' });
  await tick(1);
  await tick(2);
  state.ended.add('run1');
  await tick(3);
  expect([statuses('started'), statuses('skipped')]).toEqual([[1, 3], [2]]);
});

test('what is older than the window is missed, in one record', async () => {
  const { statuses, tick } = world({ catchupSeconds: 120 });
  await tick(100);
  expect([statuses('missed'), statuses('started')]).toEqual([[1], [98, 99, 100]]);
});

test('what a workflow rejects is on record; a workflow that is gone pauses the schedule and leaves the rest alone', async () => {
  const { schedule, state, statuses, tick } = world();
  state.fault = { error: new OrchestratorError('workflow_paused', 'The workflow is paused'), after: false };
  await tick(1);
  expect(state.records.get(T0 + MINUTE)).toMatchObject({
    status: 'refused',
    reason: 'workflow_paused: The workflow is paused',
  });
  state.fault = { error: new OrchestratorError('not_found', 'Workflow not found'), after: false };
  await tick(3);
  expect(statuses('refused')).toEqual([1, 2]);
  expect(statuses('started')).toEqual([]);
  expect(schedule).toMatchObject({ paused: true, pauseReason: 'workflow_deleted' });
});

describe('the watch', () => {
  const watched = (given: { lateness: number | undefined; on: boolean; answers?: boolean }) => {
    const did: string[] = [];
    const say = (what: string) => async () => void did.push(what);
    const watch = createScheduleWatch({
      schedules: { latenessMs: async () => given.lateness },
      ticks: { isOn: async () => given.on, turnOn: say('on'), turnOff: say('off') },
      queueAnswers: async () => given.answers ?? true,
      async tick() {
        did.push('tick');
        return 1;
      },
      log: quiet,
    });
    return { did, watch };
  };

  test.each([
    ['leaves ticks alone that come', { lateness: -5_000, on: true }, []],
    ['turns them on for the first schedule, or after they were lost', { lateness: -5_000, on: false }, ['on']],
    ['starts itself what is late, and turns them on anew', { lateness: 10_000, on: true }, ['tick', 'on']],
    ['starts what is late also while the queue is away', { lateness: 10_000, on: false, answers: false }, ['tick']],
    ['turns them off when nothing is left', { lateness: undefined, on: true }, ['off']],
  ])('%s', async (_what, given, expected) => {
    const { did, watch } = watched(given);
    await watch();
    expect(did).toEqual(expected);
  });

  test('turns them off once', async () => {
    const { did, watch } = watched({ lateness: undefined, on: true });
    await watch();
    await watch();
    expect(did).toEqual(['off']);
  });
});
