import { expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import type { WorkflowStore } from '../../../../src/engine/ports/read-models.ts';
import { createDeleteWorkflow } from '../../../../src/engine/workflows/delete-workflow.ts';
import { createWorkflows } from '../../../../src/engine/workflows/workflows.ts';

const DEFINITION = { name: 'flow', tags: [], parameters: [], actions: [] };
const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '0'.repeat(32) };
const CHANGE = { patch: { name: 'other' }, precondition: () => undefined };
const PAUSE = { patch: {}, status: 'paused' as const, precondition: () => undefined };

function setUp(check: () => Promise<void>, updates: Array<'stale' | 'unknown'> = []) {
  const stored: string[] = [];
  const store = {
    find: async (_tenantId: string, id: string) => ({ id, version: 1, definition: DEFINITION }),
    create: async () => void stored.push('create'),
    update: async (_tenantId: string, _userId: string, id: string) => {
      stored.push(`update ${id}`);
      return { done: updates.shift() ?? 'updated', workflow: { id } };
    },
    setCanary: async () => 'is_current',
    remove: async (_by: unknown, id: string) => void stored.push(`remove ${id}`),
  } as unknown as WorkflowStore; // The others are not called.
  const rules = {
    normalise: async (_: string, { tenant }: { tenant?: unknown }) => ({
      definition: DEFINITION,
      tenantId: tenant === undefined ? undefined : String(tenant),
    }),
    merge: async () => DEFINITION,
  };
  const actionTypes = { permissionOf: () => undefined };
  const deps = {
    store,
    rules,
    system: { idOf: async (_: string, id: string) => id },
    beforeSave: () => [check],
    actionTypes,
  };
  const operations = { start: () => Promise.reject(new Error('not asked')) };
  const deleteWorkflow = createDeleteWorkflow({ ...deps, operations, newId: () => 'operation' });
  return { stored, workflows: createWorkflows(deps), deleteWorkflow };
}

test('what a feature rejects before a definition is saved is not stored; a change of the state alone is not asked about', async () => {
  const { stored, workflows } = setUp(() => Promise.reject(new OrchestratorError('definition_invalid', 'no')));
  const rejected = { code: 'definition_invalid' };
  await expect(workflows.create(CALLER, {})).rejects.toMatchObject(rejected);
  await expect(workflows.update(CALLER, 'w', CHANGE)).rejects.toMatchObject(rejected);
  expect(stored).toEqual([]);
  await workflows.update(CALLER, 'w', PAUSE);
  expect(stored).toEqual(['update w']);
});

test('a workflow of the service itself is paused and neither changed nor deleted, whatever features say', async () => {
  const { stored, workflows, deleteWorkflow } = setUp(() => Promise.reject(new Error('not asked')));
  const rejected = { code: 'forbidden' };
  await expect(workflows.update(CALLER, 'system:job:1', CHANGE)).rejects.toMatchObject(rejected);
  await expect(deleteWorkflow(CALLER, 'system:job:1', false)).rejects.toMatchObject(rejected);
  await expect(workflows.removeCanary(CALLER, 'system:job:1')).rejects.toMatchObject(rejected);
  await workflows.update(CALLER, 'system:job:1', PAUSE);
  expect(stored).toEqual(['update system:job:1']);
});

test('a definition that names another tenant is not stored', async () => {
  const { stored, workflows } = setUp(async () => undefined);
  await expect(workflows.create(CALLER, { tenant: 'theirs' })).rejects.toMatchObject({ code: 'forbidden' });
  expect(stored).toEqual([]);
  await workflows.create(CALLER, { tenant: 't' });
  expect(stored).toEqual(['create']);
});

test('a change that others come before is merged into the newest version again, and a few times at most', async () => {
  const once = setUp(async () => undefined, ['stale']);
  await once.workflows.update(CALLER, 'w', CHANGE);
  expect(once.stored).toEqual(['update w', 'update w']);
  const always = setUp(async () => undefined, Array(9).fill('stale'));
  await expect(always.workflows.update(CALLER, 'w', CHANGE)).rejects.toMatchObject({ code: 'conflict' });
  expect(always.stored).toHaveLength(5);
  const gone = setUp(async () => undefined, ['unknown']);
  await expect(gone.workflows.update(CALLER, 'w', CHANGE)).rejects.toMatchObject({ code: 'not_found' });
});

test('the current version becomes no canary', async () => {
  const { workflows } = setUp(async () => undefined);
  const canary = { version: 1, percent: 5 };
  await expect(workflows.setCanary(CALLER, 'w', canary)).rejects.toMatchObject({ code: 'conflict' });
});
