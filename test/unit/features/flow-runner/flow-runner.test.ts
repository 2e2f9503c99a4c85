/** The words of the older flow runner, the definitions that come with requests, and the document of a state. */
import { expect, test, vi } from 'vitest';
import { normaliseDefinition } from '../../../../src/domain/definition/normalise.ts';
import { makePlan } from '../../../../src/domain/graph/plan.ts';
import type { Caller } from '../../../../src/engine/ports/use-cases.ts';
import { createDirectChecks } from '../../../../src/expressions/direct-checks.ts';
import { errorText, handlersIn, hasDefinition, withOutputsOfAll } from '../../../../src/features/flow-runner/domain.ts';
import { createFlowDefinitions } from '../../../../src/features/flow-runner/flow-definitions.ts';
import { createPublishedStates } from '../../../../src/features/flow-runner/publish-state.ts';
import { flowRunMessage } from '../../../../src/features/flow-runner/schemas.ts';
import { type StoredFlowRun, stateOf } from '../../../../src/features/flow-runner/state.ts';
import type { JsonObject } from '../../../../src/schemas/json.ts';
import { createCatalogue } from '../../../../workers/catalogue.ts';
import { adaptersFor } from '../../../../workers/shipped-adapters.ts';

const catalogue = createCatalogue(adaptersFor({ underTest: true }));
const rules = { ...catalogue, checks: createDirectChecks() };
const validate = vi.fn(async (_: Caller, written: JsonObject) => normaliseDefinition(written, rules).definition);
const FLOW: JsonObject = {
  id: 'order',
  tasks: [
    { id: 'a.b', handler: 'test_task' },
    { id: 'c', handler: 'test_task', depends_on: ['a.b'], retries: 0 },
    { id: 'd', handler: 'test_task', depends_on: ['c'] },
  ],
};
const caller = (more: Partial<Caller> = {}): Caller => ({
  ...{ tenantId: 't', userId: 'u', correlationId: undefined, traceId: 'x' },
  ...more,
});
const storing = () => {
  const storeDefinition = vi.fn(async () => undefined);
  return {
    storeDefinition,
    definitions: createFlowDefinitions({
      ...{
        workflows: { validate },
        inbox: { storeDefinition },
        actionTypes: catalogue,
        isPublished: () => false,
        prefix: 'flow:',
      },
    }),
  };
};

test('{} and nothing are no definition', () => {
  expect([{}, undefined, { id: 'x' }].map(hasDefinition)).toEqual([false, false, true]);
});

test.each([
  [null, null],
  ['it broke', 'it broke'],
  [{ code: 'timeout', message: 'too long' }, 'too long'],
  [{ code: 'timeout' }, '{"code":"timeout"}'],
])('the text of the error %j', (error, text) => {
  expect(errorText(error)).toBe(text);
});

test('the handlers of both forms are found, whatever else is wrong', () => {
  expect(handlersIn({ tasks: [{ handler: 'x' }, 7, {}, { handler: 8 }] })).toEqual(['x']);
  expect(handlersIn({ actions: [{ action_type: 'y' }] })).toEqual(['y']);
  expect(handlersIn({ tasks: 'none' })).toEqual([]);
});

test('the output of a flow has the output of every task, ids with dots among them', () => {
  const definition = withOutputsOfAll(normaliseDefinition(FLOW, rules).definition);
  expect(definition.output).toEqual({ 'a.b': '{{a.b}}', c: '{{c}}', d: '{{d}}' });
  // It is a definition that may be saved.
  expect(() => makePlan(definition)).not.toThrow();
  expect(normaliseDefinition(definition, rules).definition.output).toEqual(definition.output);
});

test('one content is checked and stored once, and is another one for another tenant', async () => {
  const { definitions, storeDefinition } = storing();
  validate.mockClear();
  const ids = await Promise.all([1, 2, 3].map(() => definitions.idOf(caller(), { ...FLOW })));
  expect(new Set(ids).size).toBe(1);
  expect(validate).toHaveBeenCalledTimes(1);
  expect(storeDefinition).toHaveBeenCalledTimes(1);
  expect(await definitions.idOf(caller({ tenantId: 'other' }), FLOW)).not.toBe(ids[0]);
  expect(await definitions.idOf(caller(), { ...FLOW, version: '2' })).not.toBe(ids[0]);
  definitions.forget(caller(), FLOW);
  expect(await definitions.idOf(caller(), FLOW)).toBe(ids[0]);
  expect(storeDefinition).toHaveBeenCalledTimes(4);
});

test('who may not save workflows sends no definition, cached or not', async () => {
  const { definitions } = storing();
  await definitions.idOf(caller(), FLOW);
  const may = (permission: string) => permission !== 'workflows:write';
  await expect(definitions.idOf(caller({ may }), FLOW)).rejects.toMatchObject({ code: 'forbidden' });
  const job = { id: 'j', tasks: [{ id: 'j', handler: 'kubernetes_job' }] };
  const withJobs = createFlowDefinitions({
    workflows: { validate: async () => ({ ...normaliseDefinition(FLOW, rules).definition }) },
    inbox: { storeDefinition: async () => undefined },
    actionTypes: { canonical: (type) => type, permissionOf: () => 'kubernetes:run' },
    isPublished: () => false,
    prefix: 'flow:',
  });
  await withJobs.idOf(caller(), job);
  const noJobs = (permission: string) => permission !== 'kubernetes:run';
  await expect(withJobs.idOf(caller({ may: noJobs }), job)).rejects.toMatchObject({ code: 'forbidden' });
});

test('what was rejected is checked again', async () => {
  const { definitions } = storing();
  validate.mockRejectedValueOnce(new Error('away'));
  await expect(definitions.idOf(caller(), FLOW)).rejects.toThrow('away');
  await expect(definitions.idOf(caller(), FLOW)).resolves.toMatch(/^flow:/);
});

test.each([
  ['normal', 50],
  ['urgent', 1],
  [7, 7],
  [null, null],
])('the priority %j is %j', (priority, expected) => {
  const message = { run_id: 'r', flow_id: 'f', tenant_id: 't', priority };
  expect(flowRunMessage.parse(message).priority).toBe(expected);
});

const plan = makePlan(normaliseDefinition(FLOW, rules).definition);
const stored = (more: Partial<StoredFlowRun> = {}): StoredFlowRun => ({
  ...{ runId: 'r', flowId: 'f', tenantId: 't', userId: 'u', correlationId: null, workflowId: 'w', workflowVersion: 1 },
  ...{ status: 'running', input: { x: 1 }, output: null, executionContext: {} },
  ...{ createdAt: new Date(0), updatedAt: new Date(1), tasks: [] },
  ...more,
});

test('a task is ready once what it depends on has ended', () => {
  expect(stateOf(stored(), plan)).toMatchObject({
    tasks: { 'a.b': 'READY', c: 'PENDING', d: 'PENDING' },
    ...{ ready_tasks: ['a.b'], completed_tasks: [], failed_tasks: [], correlation_id: 'r' },
    max_retries: { 'a.b': 3, c: 0, d: 3 },
  });
  const tasks = [
    { id: 'a.b', status: 'completed', final: true, attempt: 2 },
    { id: 'c', status: 'failed', final: true, attempt: 1 },
  ] as const;
  expect(stateOf(stored({ tasks, input: undefined }), plan)).toMatchObject({
    tasks: { 'a.b': 'COMPLETED', c: 'DEAD_LETTER', d: 'READY' },
    ...{ ready_tasks: ['d'], completed_tasks: ['a.b'], failed_tasks: ['c'] },
    task_attempts: { 'a.b': 2, c: 1, d: 0 },
  });
  expect(Object.keys(stateOf(stored({ tasks, input: undefined }), plan))).not.toContain('input_data');
});

test('what was committed while a state was written is written too, and only flow runs are', async () => {
  let status: StoredFlowRun['status'] = 'running';
  const written: string[] = [];
  const states = createPublishedStates({
    read: async (ids) => ids.map((runId) => stored({ runId, status })),
    plans: { of: async () => plan },
    keys: {
      async set(values) {
        for (const [key, value] of values) written.push(`${key} ${(JSON.parse(value) as { status: string }).status}`);
        // Another worker commits the end, and wrote its state before this one did.
        status = 'completed';
      },
    },
    ...{ prefix: 'p:', ttlSeconds: 1, log: { debug() {}, info() {}, warn() {}, error() {} } },
  });
  states.committed({ id: 'other' });
  states.committed({ id: 'none', executionContext: null });
  states.committed({ id: 'r', executionContext: {} });
  await states.drain();
  expect(written).toEqual(['p:run:r:state RUNNING', 'p:run:r:state COMPLETED']);
});

test('a Redis that is away loses the state, and the next commit writes it', async () => {
  const written: string[] = [];
  let away = true;
  const states = createPublishedStates({
    read: async (ids) => ids.map((runId) => stored({ runId })),
    plans: { of: async () => plan },
    keys: {
      async set(values) {
        if (away) throw new Error('away');
        written.push(...values.keys());
      },
    },
    ...{ prefix: '', ttlSeconds: 1, log: { debug() {}, info() {}, warn() {}, error() {} } },
  });
  states.committed({ id: 'r', executionContext: {} });
  await states.drain();
  expect(written).toEqual([]);
  away = false;
  states.committed({ id: 'r', executionContext: {} });
  await states.drain();
  expect(written).toEqual(['run:r:state']);
});
