import { expect, test } from 'vitest';
import { shippedCatalogue } from '../../../../src/compose/features.ts';
import type { Definition } from '../../../../src/domain/definition/definition.ts';
import { normaliseDefinition } from '../../../../src/domain/definition/normalise.ts';
import { systemAlias } from '../../../../src/domain/definition/system-workflow.ts';
import { createSystemWorkflows, systemWorkflowId } from '../../../../src/engine/accept/system-workflows.ts';
import { SYSTEM_WORKFLOWS } from '../../../../src/features/platform/system-workflows.ts';
import type { JsonObject } from '../../../../src/schemas/json.ts';
import { checks } from '../../../support/checks.ts';

const rules = { ...shippedCatalogue(), checks };
const normalise = (body: JsonObject) => normaliseDefinition(body, rules);
const ACTION = { action_id: 'a', action_type: 'test_task' };

/** Stores what it gets, as the store does, and counts how often it is called. */
function memory() {
  const kept = new Map<string, Array<{ content: string; definition: Definition }>>();
  const store = {
    asked: 0,
    async ensureVersion(_tenant: string, id: string, definition: Definition, content: string) {
      store.asked += 1;
      const versions = kept.get(id) ?? [];
      kept.set(id, versions);
      const at = versions.findIndex((version) => version.content === content);
      return at >= 0 ? at + 1 : versions.push({ content, definition });
    },
  };
  return { kept, store };
}

test.each(SYSTEM_WORKFLOWS.map(({ name, definition }) => [name, definition] as const))(
  '%s is a definition that a client could send',
  (name, definition) => {
    const made = normalise({ ...definition, name: systemAlias(name), tags: ['system'] }).definition;
    expect(made.description).toMatch(/\S/);
    expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
  },
);

test('their names are their own, and every workflow that one starts is there', () => {
  const names = SYSTEM_WORKFLOWS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { uses = [], definition } of SYSTEM_WORKFLOWS) {
    expect(names).toEqual(expect.arrayContaining([...uses]));
    const begun = [...JSON.stringify(definition).matchAll(/"workflow_id":"system:([^"]+)"/g)].map(([, name]) => name);
    expect([...uses]).toEqual(begun);
  }
});

test('a tenant gets its own with the first need, and it is asked for no second time', async () => {
  const { kept, store } = memory();
  const system = createSystemWorkflows({
    workflows: [
      { name: 'inner', definition: { actions: [ACTION] } },
      { name: 'outer', uses: ['inner'], definition: { actions: [ACTION] } },
    ],
    store,
    normalise,
  });
  const [one, again] = await Promise.all([system.ensure('a', 'outer'), system.ensure('a', 'outer')]);
  expect(one).toEqual({ id: systemWorkflowId('a', 'outer'), version: 1 });
  expect(again).toEqual(one);
  await system.ensure('b', 'inner');
  expect([...kept.keys()].sort()).toEqual(
    [systemWorkflowId('a', 'inner'), systemWorkflowId('a', 'outer'), systemWorkflowId('b', 'inner')].sort(),
  );
  expect(store.asked).toBe(3);
  expect(kept.get(one.id)?.[0]?.definition).toMatchObject({ name: 'system:outer', tags: ['system'] });
});

test('a release with other content uses a version of its own, and the one before it keeps its own', async () => {
  const { store } = memory();
  const release = (duration: number) =>
    createSystemWorkflows({
      workflows: [{ name: 'job', definition: { actions: [{ ...ACTION, config: { duration } }] } }],
      store,
      normalise,
    });
  const versions: number[] = [];
  for (const duration of [1, 2, 1, 2]) versions.push((await release(duration).ensure('a', 'job')).version);
  expect(versions).toEqual([1, 2, 1, 2]);
});

test('what could not be stored is tried again with the next need', async () => {
  const { store } = memory();
  let isDown = true;
  const system = createSystemWorkflows({
    workflows: [{ name: 'job', definition: { actions: [ACTION] } }],
    store: {
      ensureVersion: (...given) => (isDown ? Promise.reject(new Error('away')) : store.ensureVersion(...given)),
    },
    normalise,
  });
  await expect(system.ensure('a', 'job')).rejects.toThrow('away');
  isDown = false;
  expect(await system.ensure('a', 'job')).toEqual({ id: systemWorkflowId('a', 'job'), version: 1 });
});

test('only the aliases of workflows that there are lead to others', async () => {
  const { kept, store } = memory();
  const workflows = [{ name: 'job', definition: { actions: [ACTION] } }];
  const system = createSystemWorkflows({ workflows, store, normalise });
  expect(await system.idOf('a', 'system:nothing')).toBe('system:nothing');
  expect(await system.idOf('a', 'job')).toBe('job');
  expect(kept.size).toBe(0);
  expect(await system.idOf('a', 'system:job')).toBe(systemWorkflowId('a', 'job'));
  // Of another tenant, by its whole id: nobody's.
  expect(await system.idOf('b', systemWorkflowId('a', 'job'))).toBe(systemWorkflowId('a', 'job'));
});
