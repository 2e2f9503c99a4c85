/** Which workflows lead back to themselves, which may start which, and which run serves an attempt. */
import { describe, expect, test } from 'vitest';
import { ACTION_DEFAULTS, type Definition } from '../../../../src/domain/definition/definition.ts';
import {
  type ChildSoFar,
  type FindWorkflow,
  faultsOfSubWorkflows,
  type Lineage,
  rejectDescent,
  subWorkflowsOf,
  whichChild,
} from '../../../../src/domain/definition/sub-workflows.ts';
import type { JsonObject } from '../../../../src/schemas/json.ts';

function definition(name: string, ...configs: JsonObject[]): Definition {
  const actions = configs.map((config, index) => ({
    ...ACTION_DEFAULTS,
    action_id: `a${index}`,
    action_type: 'workflow',
    config,
    depends_on: [],
    run_if: 'all_succeeded' as const,
    on_failure: 'fail' as const,
  }));
  return { name, tags: [], parameters: [], actions };
}

/** Stored workflows whose ids are their names, each in one version. */
function stored(...definitions: Definition[]): FindWorkflow {
  const byName = new Map(definitions.map((one) => [one.name, one]));
  return async ({ named, version }) => {
    const found = byName.get(named);
    if (found === undefined || (version ?? 1) !== 1) return undefined;
    return { id: named, name: named, version: 1, names: subWorkflowsOf(found) };
  };
}
const id = (workflow_id: string): JsonObject => ({ workflow_id });

describe('a definition that names workflows', () => {
  test('names itself by its id, by its name, or through others', async () => {
    const find = stored(
      definition('b', id('c')),
      definition('c', id('a')),
      definition('d', { name: 'new' }),
      definition('e'),
    );
    const own = definition('a', id('e'), id('a'), id('b'), { name: 'a' });
    expect((await faultsOfSubWorkflows(own, { id: 'a' }, find)).map(({ path }) => path)).toEqual([
      'actions.1.config.workflow_id',
      'actions.2.config.workflow_id',
      'actions.3.config.name',
    ]);
    const [fault] = await faultsOfSubWorkflows(definition('a', id('b')), { id: 'a' }, find);
    expect(fault?.message).toContain('b -> c -> a');
    // Of one that is not stored yet only the name is known.
    expect(await faultsOfSubWorkflows(definition('new', id('d')), { id: undefined }, find)).toHaveLength(1);
  });

  test('that only lead round among themselves, far from it, is not its own fault, and is visited once', async () => {
    const find = stored(definition('b', id('c')), definition('c', id('b')));
    expect(await faultsOfSubWorkflows(definition('a', id('b'), id('c')), { id: 'a' }, find)).toEqual([]);
  });

  test('names one that there is not: an id has to be there, a name may come later', async () => {
    const find = stored(definition('b'));
    const faults = await faultsOfSubWorkflows(
      definition('a', id('x'), { name: 'y' }, { workflow_id: 'b', version: 2 }),
      { id: 'a' },
      find,
    );
    expect(faults.map(({ message }) => message)).toEqual([
      "there is no workflow 'x'",
      "there is no workflow 'b' in version 2",
    ]);
  });

  test('by a template says nothing before the run', async () => {
    expect(subWorkflowsOf(definition('a', id('{{x}}'), { name: '{{y}}' }))).toEqual([]);
    expect(subWorkflowsOf(definition('a', { name: 'b', version: 2 }))).toMatchObject([{ by: 'name', version: 2 }]);
  });
});

describe('a run', () => {
  const lineage = (...workflows: Array<string | null>): Lineage =>
    workflows.map((workflowId, at) => ({ runId: `r${at}`, workflowId, depth: workflows.length - 1 - at }));

  test('may start no workflow that it, or a run above it, is of', () => {
    for (const above of ['a', 'b', 'c']) {
      expect(rejectDescent(lineage('c', 'b', 'a'), above, 8)).toMatchObject({ code: 'workflow_recursion' });
    }
    expect(rejectDescent(lineage('c', 'b', 'a'), 'd', 8)).toBeUndefined();
  });

  test('may have as many above it as is allowed, and is counted from the first, even where that is gone', () => {
    expect(rejectDescent(lineage('b', 'a'), 'd', 2)).toBeUndefined();
    expect(rejectDescent(lineage('b', 'a'), 'd', 1)).toMatchObject({ code: 'run_too_deep' });
    expect(rejectDescent([{ runId: 'r', workflowId: 'a', depth: 8 }], 'd', 8)).toMatchObject({ code: 'run_too_deep' });
    expect(rejectDescent(lineage(null), 'd', 1)).toBeUndefined();
  });
});

describe('the run that serves an attempt', () => {
  const wanted = { epoch: 2, attempt: 1, awaited: true, workflowId: 'w', version: undefined, parameters: { a: 1 } };
  const found: ChildSoFar = {
    status: 'failed',
    final: true,
    epoch: 1,
    attempt: 3,
    awaited: true,
    wasTaken: false,
    workflowId: 'w',
    version: 1,
    parameters: { a: 1 },
  };
  const which = (change: Partial<ChildSoFar>, of: Partial<typeof wanted> = {}) =>
    whichChild({ ...found, ...change }, { ...wanted, ...of }, ['failed', 'cancelled']);

  test('is the one that it has started, whatever became of it', () => {
    for (const final of [true, false]) expect(which({ epoch: 2, attempt: 1, final })).toBe('same');
  });

  test('is a new one for each attempt, unless the one before is still open', () => {
    expect(whichChild(undefined, wanted, [])).toBe('new');
    expect(which({ epoch: 2 }, { attempt: 4 })).toBe('new');
    expect(which({ epoch: 2, final: false, status: 'running' }, { attempt: 4 })).toBe('adopt');
  });

  test('after a manual retry is the one that failed, when it does the same work', () => {
    expect(which({})).toBe('retry');
    expect(which({ status: 'cancelled' })).toBe('retry');
    expect(which({ status: 'compensated' })).toBe('new');
    expect(which({ parameters: { a: 2 } })).toBe('new');
    expect(which({ workflowId: 'v' })).toBe('new');
    expect(which({ version: 2 }, { version: 1 as never })).toBe('new');
  });

  test('after a manual retry is one that was retried by itself, but not one that the task had completed with', () => {
    expect(which({ final: false, status: 'running' })).toBe('adopt');
    expect(which({ status: 'completed' })).toBe('adopt');
    expect(which({ status: 'completed', wasTaken: true })).toBe('new');
  });

  test('is never one that is on its own', () => {
    expect(which({ awaited: false })).toBe('new');
    expect(which({}, { awaited: false })).toBe('new');
  });
});
