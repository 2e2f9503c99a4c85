/** Flow runs by the use case that messages come to: one run for each id, however often and by however many it is requested. */
import { randomUUID } from 'node:crypto';
import { describe, expect, vi } from 'vitest';
import { normaliseDefinition } from '../../src/domain/definition/normalise.ts';
import { createAcceptRuns } from '../../src/engine/accept/accept-run.ts';
import { createPlans } from '../../src/engine/accept/plans.ts';
import { answeringAtOnce } from '../../src/engine/accept/with-checks.ts';
import type { Caller } from '../../src/engine/ports/use-cases.ts';
import { createDirectChecks } from '../../src/expressions/direct-checks.ts';
import { createFlowDefinitions } from '../../src/features/flow-runner/flow-definitions.ts';
import { readFlowRunMessage } from '../../src/features/flow-runner/read-message.ts';
import { createFlowInbox, isRunIdTaken, UNLISTED } from '../../src/features/flow-runner/store.ts';
import { createTakeFlowRun } from '../../src/features/flow-runner/take-flow-run.ts';
import { createDefinitions } from '../../src/store/runs/definitions.ts';
import { createRunStore } from '../../src/store/runs/run-store.ts';
import { createWorkflowHeads } from '../../src/store/runs/workflow-heads.ts';
import { createCatalogue } from '../../workers/catalogue.ts';
import { adaptersFor } from '../../workers/shipped-adapters.ts';
import { acceptDeps } from '../support/accept-deps.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const [onRedis] = onBothBackends();

const FLOW = {
  ...{ id: 'order', version: '1', type: 'DAG' },
  tasks: [
    { id: 'reserve', handler: 'test_task', inputs: { sku: '{{params.sku}}' } },
    { id: 'tell', handler: 'test_task', inputs: { for: '{{run.execution_context.shop}}' }, depends_on: ['reserve'] },
  ],
};
describe.each([onRedis].filter((one) => one !== undefined))('flow runs by messages on $backend', ({ test }) => {
  const message = (more: object = {}) =>
    readFlowRunMessage({
      ...{
        event_type: 'flow_run_requested',
        flow_id: 'order',
        tenant_id: 'default',
        user_id: 'u',
        input: { sku: 'A' },
      },
      ...{ flow_definition: FLOW, execution_context: { shop: 's' }, correlation_id: 'c-1', run_id: randomUUID() },
      ...{ request_id: 'r', status: 'PENDING', priority: 'normal', metadata: { api_version: '1' } },
      ...more,
    });
  const caller: Caller = { tenantId: 'default', userId: 'u', correlationId: undefined, traceId: 'a'.repeat(32) };

  test('the run has the id of the message, whatever that is', async ({ api, stack }) => {
    const take = takerOf(stack);
    for (const run_id of [randomUUID(), `order/7 ~é:${'x'.repeat(200)} ${randomUUID()}`.slice(0, 255)]) {
      expect(await take(caller, message({ run_id }))).toEqual({ runId: run_id, correlationId: 'c-1', repeated: false });
      const path = encodeURIComponent(run_id);
      await vi.waitFor(async () => {
        expect((await api.get(`/v1/runs/${path}`)).body).toMatchObject({
          run_id,
          status: 'COMPLETED',
          flow_id: 'order',
        });
      }, 20_000);
      expect((await api.get(`/workflows/executions/${path}`)).body).toMatchObject({
        correlation_id: 'c-1',
        user_id: 'u',
      });
    }
  });

  test('the same message changes nothing, however often it comes, and another body is a conflict', async ({
    stack,
    db,
    api,
  }) => {
    const run_id = randomUUID();
    const [first, second] = [takerOf(stack), takerOf(stack)];
    const taken = await Promise.all(
      Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? first : second)(caller, message({ run_id }))),
    );
    expect(taken.filter(({ repeated }) => !repeated).length).toBe(1);
    expect(new Set(taken.map(({ runId, correlationId }) => `${runId} ${correlationId}`)).size).toBe(1);
    // What says only how it came does not count.
    const again = await first(caller, message({ run_id, metadata: { api_version: '2' }, priority: 'high' }));
    expect(again).toEqual({ runId: run_id, correlationId: 'c-1', repeated: true });
    for (const more of [{ input: { sku: 'B' } }, { execution_context: {} }, { flow_id: 'else' }, { user_id: 'v' }]) {
      await expect(first(caller, message({ run_id, ...more }))).rejects.toMatchObject({ code: 'run_id_conflict' });
    }
    expect((await db.query('SELECT FROM run WHERE id = $1', [run_id])).rowCount).toBe(1);
    await api.ended(run_id);
  });

  test('two bodies with one new id make one run', async ({ stack, api }) => {
    const run_id = randomUUID();
    const take = takerOf(stack);
    const bodies = ['A', 'B', 'C', 'D'].map((sku) => message({ run_id, input: { sku } }));
    const results = await Promise.allSettled(bodies.map((body) => take(caller, body)));
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'run_id_conflict' });
    }
    await api.ended(run_id);
  });

  test('an id that another tenant or another execution has is a conflict, and shows nothing of it', async ({
    api,
    stack,
    db,
  }) => {
    const take = takerOf(stack);
    const plain = await api.execute(await api.createWorkflow(workflow([echo('one')])));
    await expect(take(caller, message({ run_id: plain }))).rejects.toMatchObject({ code: 'run_id_conflict' });
    const run_id = randomUUID();
    await take(caller, message({ run_id }));
    const stranger = { ...caller, tenantId: 'stranger' };
    await expect(take(stranger, message({ run_id }))).rejects.toMatchObject({ code: 'run_id_conflict' });
    expect((await db.query('SELECT FROM flow_run WHERE run_id = ANY($1)', [[plain, run_id]])).rowCount).toBe(1);
    for (const id of [plain, run_id]) await api.ended(id);
  });

  test('what is rejected leaves its id free', async ({ stack, db, api }) => {
    const take = takerOf(stack);
    const run_id = randomUUID();
    const nowhere = message({ run_id, flow_definition: {}, flow_id: 'nowhere' });
    await expect(take(caller, nowhere)).rejects.toMatchObject({ code: 'unknown_flow' });
    const tasks = [{ id: 'a', handler: 'nobody_does' }];
    const unknown = message({ run_id, flow_definition: { id: 'x', tasks } });
    await expect(take(caller, unknown)).rejects.toMatchObject({ code: 'unknown_handler' });
    expect((await db.query('SELECT FROM flow_run WHERE run_id = $1', [run_id])).rowCount).toBe(0);
    expect(await take(caller, message({ run_id }))).toMatchObject({ repeated: false });
    await api.ended(run_id);
  });

  test('a request that got no further than the inbox is taken in when it comes again', async ({ stack, api }) => {
    const run_id = randomUUID();
    const lost = takerOf(stack, () => Promise.reject(new Error('the process died')));
    await expect(lost(caller, message({ run_id }))).rejects.toThrow('the process died');
    expect(await takerOf(stack)(caller, message({ run_id }))).toMatchObject({ runId: run_id, repeated: false });
    await api.ended(run_id);
  });

  test.for([
    [{ run_id: undefined }, 'run_id'],
    [{ run_id: 'x'.repeat(256) }, 'run_id'],
    [{ run_id: 7 }, 'run_id'],
    [{ flow_id: '' }, 'flow_id'],
    [{ tenant_id: null }, 'tenant_id'],
    [{ input: 'text' }, 'input'],
    [{ flow_definition: [] }, 'flow_definition'],
    [{ execution_context: { x: 'y'.repeat(65_536) } }, 'execution_context'],
    [{ event_type: 'something_else' }, 'event_type'],
    [{ input: { a: 'nul \u0000' } }, 'input.a'],
  ] as const)('a message with %j is rejected for that field', ([more, field]) => {
    const read = () => message(more);
    expect(read).toThrow(expect.objectContaining({ code: 'invalid_request' }));
    try {
      read();
    } catch (error) {
      expect((error as { errors: Array<{ path: string }> }).errors.map(({ path }) => path)).toEqual([field]);
    }
  });
});

/** As a process has it that takes messages in: over the stores themselves. The dispatcher of the stack starts the runs. */
function takerOf({ db }: Stack, executeInstead?: () => Promise<never>) {
  const catalogue = createCatalogue([...adaptersFor({ underTest: true })]);
  const checks = createDirectChecks();
  const plans = createPlans(createDefinitions(db));
  const accept = createAcceptRuns(
    acceptDeps({
      ...{ actionTypes: catalogue, plans, runs: createRunStore(db), newId: randomUUID },
      workflowHead: createWorkflowHeads(db),
      texts: answeringAtOnce(checks),
    }),
  );
  const inbox = createFlowInbox(db);
  const definitions = createFlowDefinitions({
    workflows: { validate: async (_, written) => normaliseDefinition(written, { ...catalogue, checks }).definition },
    ...{ inbox, actionTypes: catalogue, isPublished: () => false, prefix: UNLISTED },
  });
  return createTakeFlowRun({
    ...{ inbox, definitions, isTaken: isRunIdTaken, workflows: { resolve: async () => undefined } },
    accept: executeInstead === undefined ? accept : { executeWorkflow: executeInstead },
  });
}
