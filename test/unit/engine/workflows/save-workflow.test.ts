import { expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import type { StoredWorkflow, WorkflowStore } from '../../../../src/engine/ports/read-models.ts';
import { createWorkflows } from '../../../../src/engine/workflows/save-workflow.ts';

const DEFINITION = { name: 'flow', tags: [], parameters: [], actions: [] };

function setUp(check: () => Promise<void>) {
  const stored: string[] = [];
  const store = {
    find: async (_tenantId: string, id: string) => ({ id }) as StoredWorkflow,
    create: async () => void stored.push('create'),
    update: async (_tenantId: string, _userId: string, id: string) => void stored.push(`update ${id}`),
    remove: async (_by: unknown, id: string) => void stored.push(`remove ${id}`),
  } as unknown as WorkflowStore; // The others are not called.
  const system = { ensure: () => Promise.reject(new Error('not asked')), idOf: async (_: string, id: string) => id };
  return { stored, workflows: createWorkflows({ store, system, beforeSave: () => [check] }) };
}

test('what a feature rejects before a definition is saved is not stored; a change of the state alone is not asked about', async () => {
  const { stored, workflows } = setUp(() => Promise.reject(new OrchestratorError('definition_invalid', 'no')));
  const rejected = { code: 'definition_invalid' };
  await expect(workflows.create('t', 'u', DEFINITION)).rejects.toMatchObject(rejected);
  const change = { expectedVersion: 1, definition: DEFINITION };
  await expect(workflows.update('t', 'u', 'w', change)).rejects.toMatchObject(rejected);
  expect(stored).toEqual([]);
  await workflows.update('t', 'u', 'w', { expectedVersion: 1, status: 'paused' });
  expect(stored).toEqual(['update w']);
});

test('a workflow of the service itself is paused and neither changed nor deleted, whatever features say', async () => {
  const { stored, workflows } = setUp(() => Promise.reject(new Error('not asked')));
  const change = { expectedVersion: 1, definition: DEFINITION };
  await expect(workflows.update('t', 'u', 'system:job:1', change)).rejects.toMatchObject({ code: 'forbidden' });
  const by = { tenantId: 't', userId: 'u' };
  await expect(workflows.remove(by, 'system:job:1', undefined)).rejects.toMatchObject({ code: 'forbidden' });
  await workflows.update('t', 'u', 'system:job:1', { expectedVersion: 1, status: 'paused' });
  expect(stored).toEqual(['update system:job:1']);
});
