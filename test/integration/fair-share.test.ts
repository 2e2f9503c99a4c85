import { describe, expect } from 'vitest';
import { z } from 'zod';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const WINDOW = 20;
/** Dispatches, and serves a lane in which nothing is. */
const DISPATCHER = { WORKER_LANES: 'wait' };
const ONE_AT_A_TIME = { WORKER_LANES: 'test_task', WORKER_CONCURRENCY: '1' };

const assigned = z.looseObject({ items: z.array(z.looseObject({ task_id: z.string() })) });

const statusIn = async ({ db }: Stack, id: string): Promise<string | undefined> =>
  (await db.query<{ status: string }>('SELECT status FROM run WHERE id = $1', [id])).rows[0]?.status;

/** The events of that kind, in the order in which they came to pass: `<run> <action>`. */
async function inOrder({ db }: Stack, kind: string, runs: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ told: string }>(
    `SELECT run_id || ' ' || coalesce(action_id, '') AS told FROM event WHERE kind = $1 AND run_id = ANY($2) ORDER BY id`,
    [kind, runs],
  );
  return rows.map(({ told }) => told.trim());
}

async function assign({ api }: Stack, tenant: string, count: number): Promise<string[]> {
  const tasks = Array.from({ length: count }, () => ({ task_type: 'test_task', params: {} }));
  const answer = await api.post('/assign-tasks', { tasks }, { 'x-tenant-id': tenant });
  const { items } = assigned.parse(answer.body);
  return items.map(({ task_id }) => task_id);
}

describe.each(onBothBackends({ workers: 0, environment: { ADMISSION_WINDOW: String(WINDOW) } }))(
  'the queue on $backend',
  ({ test }) => {
    test('the first run of a tenant goes before the backlog of another', async ({ stack }) => {
      const many = await assign(stack, 'many', 5 * WINDOW);
      const [few = ''] = await assign(stack, 'few', 1);
      const dispatcher = await stack.add('worker', DISPATCHER);
      // The window is full of the other's runs; there is a place for this one all the same.
      await until(async () => (await statusIn(stack, few)) === 'queued', { what: 'the run is in the queue' });
      const waiting = await stack.db.query(`SELECT 1 FROM run WHERE status = 'pending'`);
      expect(waiting.rowCount).toBeGreaterThanOrEqual(many.length - WINDOW);
      const worker = await stack.add('worker', ONE_AT_A_TIME);
      await until(async () => (await statusIn(stack, many.at(-1) ?? '')) === 'completed', { what: 'all have ended' });
      const ended = await inOrder(stack, 'run.completed', [...many, few]);
      expect(ended).toHaveLength(many.length + 1);
      // Only the first run of the other may have been there before it.
      expect(ended.indexOf(few)).toBeLessThanOrEqual(1);
      // Those of one tenant go in the order of their acceptance.
      const first = many.slice(0, WINDOW / 2);
      expect(ended.filter((id) => first.includes(id))).toEqual(first);
      await worker.stop();
      await dispatcher.stop();
    });

    test('what was begun is finished before anything else begins', async ({ stack, api }) => {
      const workflowId = await api.createWorkflow(workflow([echo('first'), echo('second', ['first'])]));
      const runs: string[] = [];
      for (let n = 0; n < 8; n += 1) runs.push(await api.execute(workflowId));
      const worker = await stack.add('worker', ONE_AT_A_TIME);
      await until(async () => (await statusIn(stack, runs.at(-1) ?? '')) === 'completed', { what: 'all have ended' });
      const steps = await inOrder(stack, 'task.completed', runs);
      expect(steps).toEqual(runs.flatMap((id) => [`${id} first`, `${id} second`]));
      await worker.stop();
    });

    test('weights that are set while it runs decide who is begun how often', async ({ stack, api }) => {
      const set = (tenant: string, weight: number | null) => api.put(`/tenants/${tenant}/weight`, { weight });
      expect((await api.get('/tenants/heavy/weight')).body).toMatchObject({ weight: 1, source: 'default' });
      expect(await set('heavy', 4)).toMatchObject({
        status: 200,
        body: { weight: 4, source: 'set', set_by: 'anonymous' },
      });
      expect((await api.get('/tenants/heavy/weight')).body).toMatchObject({ tenant_id: 'heavy', weight: 4 });
      expect((await set('heavy', 0)).status).toBe(400);
      expect((await set('light', 1)).status).toBe(200);
      const dispatcher = await stack.add('worker', DISPATCHER);
      const heavy = await assign(stack, 'heavy', 5 * WINDOW);
      const light = await assign(stack, 'light', 5 * WINDOW);
      // Both have their part of the window before anything of it is begun.
      await until(async () => {
        const { rows } = await stack.db.query<{ tenant_id: string; n: number }>(
          `SELECT tenant_id, count(*)::int AS n FROM run WHERE status = 'queued' GROUP BY 1`,
        );
        return rows.some((row) => row.tenant_id === 'light' && row.n > 0);
      });
      const worker = await stack.add('worker', ONE_AT_A_TIME);
      const both = [...heavy, ...light];
      await until(async () => (await inOrder(stack, 'run.completed', both)).length === both.length, {
        what: 'all have ended',
      });
      // While both of them wait, and after what was in the queue before the dispatcher knew of both.
      const ended = await inOrder(stack, 'run.completed', both);
      const starts = ended.slice(WINDOW, ended.findLastIndex((id) => heavy.includes(id)) + 1);
      const ofHeavy = starts.filter((id) => heavy.includes(id)).length;
      const ofLight = starts.length - ofHeavy;
      expect([ofHeavy, ofLight]).toSatisfy(() => ofHeavy >= 3 * ofLight && ofHeavy <= 5 * ofLight);
      // Taken back, what is configured holds again.
      expect(await set('heavy', null)).toMatchObject({ status: 200, body: { weight: 1, source: 'default' } });
      await worker.stop();
      await dispatcher.stop();
    });
  },
);
