/** What an acceptance needs, over nothing: every action type is known, every run is stored at once. */
import { ACTION_DEFAULTS } from '../../src/domain/definition/definition.ts';
import type { AcceptDeps } from '../../src/engine/accept/accept-run.ts';
import type { NewRun } from '../../src/engine/ports/runs.ts';

const unused = () => Promise.reject(new Error('not used here'));

export function acceptDeps(overrides: Partial<AcceptDeps> = {}): AcceptDeps {
  let ids = 0;
  return {
    actionTypes: {
      list: () => [],
      names: () => ['test_task'],
      canonical: (type) => type,
      check: () => [],
      permissionOf: () => undefined,
    },
    texts: { answer: unused },
    workflows: { resolve: unused },
    workflowHead: unused,
    plans: { of: unused },
    runs: { accept: async (run) => storedOf(run) },
    admission: { admit: async () => undefined },
    endReplaced: async () => undefined,
    failpoint: () => undefined,
    defaults: ACTION_DEFAULTS,
    newId: () => `run-${ids++}`,
    ...overrides,
  };
}

export function storedOf({ id, of, requestHash }: NewRun) {
  return {
    ...{ id, of, status: 'pending' as const, createdAt: new Date(), requestHash: requestHash ?? null, inserted: true },
  };
}
