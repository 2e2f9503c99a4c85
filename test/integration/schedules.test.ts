/** Schedules through the public door: one run for each slot, whatever happens, and what a slot does beside another run. */
import type pg from 'pg';
import { test as base, describe, expect } from 'vitest';
import type { z } from 'zod';
import { schedule as scheduleShape } from '../../src/features/schedules/schemas.ts';
import { expectRest } from '../harness/checker/at-rest.ts';
import { accepted, type Client, field, list } from '../harness/client/client.ts';
import { BACKENDS } from '../harness/servers/backends.ts';
import type { Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { openStack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

type Shown = z.infer<typeof scheduleShape>;
const HOUR = 3600;
let names = 0;
let shifts = 0;

async function make(api: Client, fields: object): Promise<string> {
  names += 1;
  return field(accepted(await api.post('/schedules', { name: `schedule ${names}`, ...fields }), 201), 'schedule_id');
}

async function show(api: Client, id: string): Promise<Shown> {
  return scheduleShape.parse(accepted(await api.get(`/schedules/${id}`), 200).body);
}

async function remove(api: Client, id: string): Promise<void> {
  accepted(await api.send('DELETE', `/schedules/${id}`), 204);
}

/** As if nobody had looked at the schedule for that long; a little more each time, or a slot would come again. */
async function goBack(db: pg.Pool, id: string, seconds: number): Promise<void> {
  shifts += 1;
  const { rowCount } = await db.query(
    `UPDATE schedule SET anchor_at = anchor_at - make_interval(secs => $2), last_slot_at = last_slot_at - make_interval(secs => $2),
       due_at = due_at - make_interval(secs => $2) WHERE id = $1`,
    [id, seconds + shifts / 100],
  );
  expect(rowCount).toBe(1);
}

/** Every run of a schedule, by the slot that its key names. */
async function runsBySlot(db: pg.Pool, id: string): Promise<string[]> {
  const { rows } = await db.query<{ idempotency_key: string }>(
    'SELECT idempotency_key FROM run WHERE correlation_id = $1 ORDER BY idempotency_key',
    [id],
  );
  return rows.map(({ idempotency_key }) => idempotency_key.replace(`schedule:${id}:`, ''));
}

/** Slots without a gap, every one of them with exactly one run. */
async function expectOneRunEach(api: Client, db: pg.Pool, id: string): Promise<string[]> {
  const { recent } = await show(api, id);
  const slots = recent.map(({ slot }) => slot).reverse();
  const first = Date.parse(slots[0] ?? '');
  expect(slots.map((slot) => Date.parse(slot))).toEqual(slots.map((_, index) => first + index * 1000));
  expect(recent.filter(({ status }) => status !== 'started')).toEqual([]);
  expect(await runsBySlot(db, id)).toEqual(slots);
  return slots;
}

const started = async (api: Client, id: string) =>
  (await show(api, id)).recent.filter(({ status }) => status === 'started').length;

describe.each(onBothBackends({ workers: 2, environment: { RECONCILE_SECONDS: '1' } }))(
  'schedules on $backend',
  ({ test }) => {
    test('of each second begin one run for each slot, with two workers at it', async ({ api, db }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a', [], { n: '{{n}}' })], { parameters: N }));
      const id = await make(api, { workflow_id, parameters: { n: 7 }, interval_seconds: 1, overlap: 'allow' });
      await until(async () => (await started(api, id)) >= 5, { what: 'five slots are started' });
      accepted(await api.post(`/schedules/${id}/pause`), 200);
      await expectOneRunEach(api, db, id);
      const { recent } = await show(api, id);
      const run = await api.finished(recent[0]?.execution_id ?? '');
      expect(run).toMatchObject({ status: 'completed', parameters: { n: 7 }, correlation_id: id });
      await remove(api, id);
    });

    test('by an expression with seconds begin on the second', async ({ api, db }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const id = await make(api, { workflow_id, cron: '* * * * * *', overlap: 'allow' });
      await until(async () => (await started(api, id)) >= 2, { what: 'two slots are started' });
      accepted(await api.post(`/schedules/${id}/pause`), 200);
      const slots = await expectOneRunEach(api, db, id);
      expect(slots.every((slot) => slot.endsWith('.000Z'))).toBe(true);
      await remove(api, id);
    });

    test('at one moment begin once, and then nothing is left', async ({ api, db }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const at = new Date(Date.now() + HOUR * 1000).toISOString();
      const id = await make(api, { workflow_id, at });
      expect(await show(api, id)).toMatchObject({ at, next_run: at, next_runs: [at] });
      await db.query('UPDATE schedule SET at = now(), due_at = now(), last_slot_at = created_at WHERE id = $1', [id]);
      await until(async () => (await started(api, id)) === 1, { what: 'it is started' });
      expect(await show(api, id)).toMatchObject({ next_run: null, next_runs: [] });
      expect((await db.query('SELECT 1 FROM schedule WHERE id = $1 AND due_at IS NULL', [id])).rowCount).toBe(1);
      await remove(api, id);
    });

    test('that nobody looked at for a while make up for what their window holds', async ({ api, db }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const id = await make(api, {
        workflow_id,
        interval_seconds: 600,
        catchup_window_seconds: 2 * HOUR,
        overlap: 'allow',
      });
      await goBack(db, id, 10 * HOUR);
      await until(async () => (await started(api, id)) >= 12, { what: 'two hours are made up for' });
      const { recent } = await show(api, id);
      expect(recent).toHaveLength(13);
      expect(recent.at(-1)).toMatchObject({ status: 'missed', execution_id: null });
      expect(Date.parse(recent.at(-2)?.slot ?? '') - Date.parse(recent.at(-1)?.slot ?? '')).toBeGreaterThan(
        7 * HOUR * 1000,
      );
      expect(await runsBySlot(db, id)).toHaveLength(12);
      await remove(api, id);
    });

    test('skip: a slot beside another run starts nothing, and says so', async ({ api, db, service }) => {
      const { id, release } = await busy(api, db, service, 'skip');
      await until(async () => (await show(api, id)).recent.some(({ status }) => status === 'skipped'), {
        what: 'it is skipped',
      });
      expect(slotOf(await show(api, id))).toMatchObject({ reason: 'the run before has not ended', execution_id: null });
      expect(service.calls).toHaveLength(1);
      await release();
      await goBack(db, id, HOUR);
      await until(() => service.calls.length === 2, { what: 'the next slot is started' });
      await remove(api, id);
    });

    test('queue: slots wait for the end of the run before, and are started one after the other', async ({
      api,
      db,
      service,
    }) => {
      const { id, release } = await busy(api, db, service, 'queue');
      await until(async () => slotOf(await show(api, id))?.status === 'waiting', { what: 'the slot waits' });
      await goBack(db, id, HOUR);
      const waiting = async () => (await show(api, id)).recent.filter(({ status }) => status === 'waiting').length;
      await until(async () => (await waiting()) === 2, { what: 'the next slot waits too' });
      expect(service.calls).toHaveLength(1);
      const end = hold(service);
      await release();
      await until(() => service.calls.length === 2, { what: 'the first is started' });
      expect(await waiting()).toBe(1);
      end();
      await until(() => service.calls.length === 3, { what: 'the second is started' });
      await until(async () => (await waiting()) === 0, { what: 'none waits' });
      await remove(api, id);
    });

    test('cancel_previous: the run before is cancelled, then the slot is started', async ({ api, db, service }) => {
      const { id, before } = await busy(api, db, service, 'cancel_previous');
      service.answer(() => ({ body: {} }));
      const ended = await api.finished(before);
      expect(ended.status).toBe('cancelled');
      await until(async () => slotOf(await show(api, id))?.status === 'started', { what: 'the slot is started' });
      const run = await api.finished(slotOf(await show(api, id))?.execution_id ?? '');
      expect(run.status).toBe('completed');
      expect(Date.parse(run.created_at)).toBeGreaterThanOrEqual(Date.parse(ended.finished_at ?? ''));
      await remove(api, id);
    });

    test('allow: both run', async ({ api, db, service }) => {
      const { id, before, release } = await busy(api, db, service, 'allow');
      await until(() => service.calls.length === 2, { what: 'both are under way' });
      expect((await api.execution(before)).finished_at).toBeNull();
      await release();
      await remove(api, id);
    });

    test('that are paused start nothing, can be triggered, and go on with the next slot', async ({ api, db }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const id = await make(api, { workflow_id, interval_seconds: HOUR, paused: true });
      expect(await show(api, id)).toMatchObject({ paused: true, next_run: null, next_runs: [] });
      await goBack(db, id, 5 * HOUR);
      const answer = accepted(await api.post(`/schedules/${id}/trigger`, undefined, { 'idempotency-key': 'k' }), 202);
      const run = field(answer, 'execution_id');
      expect(answer.headers.get('location')).toBe(`/workflows/executions/${run}`);
      expect((await api.finished(run)).status).toBe('completed');
      const again = accepted(await api.post(`/schedules/${id}/trigger`, undefined, { 'idempotency-key': 'k' }), 202);
      expect(field(again, 'execution_id')).toBe(run);
      const resumed = scheduleShape.parse(accepted(await api.post(`/schedules/${id}/resume`), 200).body);
      expect(resumed).toMatchObject({ paused: false, next_runs: { length: 10 } });
      expect(resumed.recent).toMatchObject([{ kind: 'trigger', status: 'started', execution_id: run }]);
      // Another one shows that it was looked at since.
      const other = await make(api, { workflow_id, interval_seconds: 1 });
      await until(async () => (await started(api, other)) >= 1, { what: 'ticks go on' });
      expect(await runsBySlot(db, id)).toHaveLength(1);
      await goBack(db, id, HOUR);
      await until(async () => (await started(api, id)) === 2, { what: 'the next slot is started' });
      await remove(api, id);
      await remove(api, other);
    });

    test('of a workflow that is paused are refused slot by slot; of one that is deleted they are paused', async ({
      api,
      db,
    }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const id = await make(api, { workflow_id, interval_seconds: HOUR });
      accepted(await api.put(`/workflows/${workflow_id}`, { status: 'paused' }), 200);
      await goBack(db, id, HOUR);
      await until(async () => (await show(api, id)).recent.length === 1, { what: 'the slot is decided about' });
      expect(await show(api, id)).toMatchObject({ paused: false, recent: [{ status: 'refused', execution_id: null }] });
      expect((await show(api, id)).recent[0]?.reason).toMatch(/^workflow_paused/);
      expectProblem(await api.post(`/schedules/${id}/trigger`), 409, 'workflow_paused');
      accepted(await api.send('DELETE', `/workflows/${workflow_id}`), 204);
      await goBack(db, id, HOUR);
      await until(async () => (await show(api, id)).paused, { what: 'it is paused' });
      expect(await show(api, id)).toMatchObject({ pause_reason: 'workflow_deleted', next_run: null });
      expect(await runsBySlot(db, id)).toEqual([]);
      await remove(api, id);
    });

    test('can be listed, changed and deleted, by their own tenant', async ({ api }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const one = await make(api, { workflow_id, cron: '0 9 * * 1-5', timezone: 'Europe/Berlin' });
      const two = await make(api, { workflow_id, interval_seconds: HOUR, paused: true });
      const page = await api.get(`/schedules?workflow_id=${workflow_id}&page_size=1`);
      expect(page.body).toMatchObject({ total: 2, page: 1, page_size: 1, pagination: { has_next: true } });
      expect(list(page)).toMatchObject([{ schedule_id: two }]);
      expect(list(await api.get(`/schedules?workflow_id=${workflow_id}&paused=false`))).toMatchObject([
        { schedule_id: one },
      ]);
      const changed = await api.put(`/schedules/${one}`, { interval_seconds: 60, overlap: 'queue', jitter_seconds: 5 });
      expect(accepted(changed, 200).body).toMatchObject({
        cron: null,
        interval_seconds: 60,
        overlap: 'queue',
        jitter_seconds: 5,
        timezone: 'Europe/Berlin',
        next_runs: { length: 10 },
      });
      const stranger = { 'x-tenant-id': 'another' };
      expectProblem(await api.get(`/schedules/${one}`, stranger), 404, 'not_found');
      expectProblem(await api.post(`/schedules/${one}/trigger`, undefined, stranger), 404, 'not_found');
      expectProblem(await api.send('DELETE', `/schedules/${one}`, undefined, stranger), 404, 'not_found');
      expect(list(await api.get('/schedules', stranger))).toEqual([]);
      await remove(api, one);
      await remove(api, two);
      const gone = await api.get(`/schedules/${one}`);
      expectProblem(gone, 404, 'not_found');
      expect(gone.body).toMatchObject({ detail: 'Schedule not found' });
    });

    test('that are wrong are refused with the field that is', async ({ api }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a', [], { n: '{{n}}' })], { parameters: N }));
      const right = { name: 'right', workflow_id, parameters: { n: 1 }, interval_seconds: HOUR };
      const faults = async (fields: object, status: number, code: string) => {
        const answer = await api.post('/schedules', fields);
        expectProblem(answer, status, code);
        return list(answer, 'errors').map(({ path, message }) => `${path}: ${message}`);
      };
      const { interval_seconds: _, ...untimed } = right;
      expect(await faults({ ...untimed, cron: '61 * * * *', timezone: 'Mars' }, 400, 'invalid_request')).toEqual([
        expect.stringMatching(/^cron: .*minute of '61'.*0-59/),
        expect.stringMatching(/^timezone: 'Mars'/),
      ]);
      expect(await faults({ ...right, cron: '* * * * *' }, 400, 'invalid_request')).toEqual([
        'cron: give one of cron, interval_seconds and at, and only one',
      ]);
      expect(await faults(untimed, 400, 'invalid_request')).toHaveLength(1);
      expect(await faults({ ...right, overlaps: 'skip' }, 400, 'invalid_request')).toEqual([
        "overlaps: unknown field 'overlaps' (did you mean 'overlap'?)",
      ]);
      expect(await faults({ ...right, jitter_seconds: HOUR }, 400, 'invalid_request')).toHaveLength(1);
      expect(await faults({ ...right, parameters: { n: 'x' } }, 400, 'parameter_validation_failed')).toHaveLength(1);
      expect(
        await faults({ ...untimed, workflow_id: 'nowhere', cron: '0 0 31 4,6 *' }, 422, 'definition_invalid'),
      ).toEqual(['workflow_id: names no workflow', "cron: '0 0 31 4,6 *' names no moment of any year"]);
      expect(await faults({ ...untimed, at: '2020-01-01T00:00:00Z' }, 422, 'definition_invalid')).toEqual([
        'at: lies in the past',
      ]);
      const id = field(accepted(await api.post('/schedules', right), 201), 'schedule_id');
      expect(await faults(right, 409, 'conflict')).toEqual(['name: is the name of another schedule']);
      const other = await make(api, { ...right, name: 'other' });
      expectProblem(await api.put(`/schedules/${other}`, { name: 'right' }), 409, 'conflict');
      expectProblem(await api.put(`/schedules/${other}`, { cron: 'soon' }), 400, 'invalid_request');
      await remove(api, id);
      await remove(api, other);
    });

    test('the ticks end with the last schedule', async ({ api, stack, db }) => {
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const ticking = async () => {
        if (stack.redis !== undefined) return (await stack.redis.zcard(`${stack.queuePrefix}:schedules:repeat`)) > 0;
        return ((await db.query(`SELECT 1 FROM bullmq.job WHERE queue = 'schedules'`)).rowCount ?? 0) > 0;
      };
      const id = await make(api, { workflow_id, interval_seconds: HOUR });
      await until(ticking, { what: 'ticks are on' });
      await remove(api, id);
      await until(async () => !(await ticking()), { what: 'ticks are off' });
    });
  },
);

const N = [{ name: 'n', type: 'integer', required: true }];

/** A schedule with a run under way, and a slot that is due now. */
async function busy(api: Client, db: pg.Pool, service: Service, overlap: string) {
  const end = hold(service);
  const call = { action_id: 'a', action_type: 'http_request', config: { url: service.url, method: 'POST' } };
  const id = await make(api, {
    workflow_id: await api.createWorkflow(workflow([call])),
    interval_seconds: HOUR,
    overlap,
  });
  const before = field(accepted(await api.post(`/schedules/${id}/trigger`), 202), 'execution_id');
  await until(() => service.calls.length === 1, { what: 'the first run is under way' });
  await goBack(db, id, HOUR);
  const release = async () => {
    end();
    expect((await api.finished(before)).status).toBe('completed');
  };
  return { id, before, release };
}

/** The service answers nothing until the function is called that this gives, and from then on everything at once. */
function hold(service: Service): () => void {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  service.answer(async () => {
    await ended;
    return { body: {} };
  });
  return end;
}

function slotOf({ recent }: Shown): Shown['recent'][number] | undefined {
  return recent.find(({ kind }) => kind === 'slot');
}

describe('when what wakes them fails', () => {
  base.for(BACKENDS)(
    'slots of a time without any worker are made up for, each once, on %s',
    async (backend, { onTestFinished }) => {
      const stack = await openStack(backend, { workers: 0 });
      onTestFinished(() => stack.stop());
      const { api, db } = stack;
      const workflow_id = await api.createWorkflow(workflow([echo('a')]));
      const id = await make(api, { workflow_id, interval_seconds: 1, overlap: 'allow' });
      const overdue = `SELECT 1 FROM schedule WHERE id = $1 AND due_at < now() - interval '4 seconds'`;
      await until(async () => (await db.query(overdue, [id])).rowCount === 1, { what: 'several slots have passed' });
      expect(await runsBySlot(db, id)).toEqual([]);
      await Promise.all([stack.add('worker'), stack.add('worker')]);
      await until(async () => (await started(api, id)) >= 6, { what: 'they are made up for' });
      accepted(await api.post(`/schedules/${id}/pause`), 200);
      const slots = await expectOneRunEach(api, db, id);
      const { created_at } = await show(api, id);
      expect(Date.parse(slots[0] ?? '')).toBe(Date.parse(created_at) + 1000);
      await remove(api, id);
      await expectRest(stack);
    },
  );

  base('a Redis that forgets everything costs no slot and doubles none', async ({ onTestFinished }) => {
    const stack = await openStack('redis', { workers: 2, environment: { RECONCILE_SECONDS: '1' } });
    onTestFinished(() => stack.stop());
    const { api, db, redis } = stack;
    const workflow_id = await api.createWorkflow(workflow([echo('a')]));
    const id = await make(api, { workflow_id, interval_seconds: 1, overlap: 'allow' });
    for (const atLeast of [2, 5, 8]) {
      await until(async () => (await started(api, id)) >= atLeast, { what: 'slots are started' });
      await redis?.flushdb();
    }
    await until(async () => (await started(api, id)) >= 11, { what: 'slots are started again' });
    accepted(await api.post(`/schedules/${id}/pause`), 200);
    await expectOneRunEach(api, db, id);
    await remove(api, id);
    await expectRest(stack);
  });
});
