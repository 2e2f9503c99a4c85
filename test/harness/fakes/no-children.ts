/** No run of these tests was started by another one. */
import type { ChildStore } from '../../../src/engine/ports/children.ts';

const none = async (): Promise<never> => {
  throw new Error('no run of this test starts another one');
};

export const NO_CHILDREN: ChildStore = {
  find: none,
  lineage: none,
  insert: none,
  adopt: none,
  openOf: async () => [],
  parentOf: async () => undefined,
  tasksOfEnded: async () => [],
  takePending: async () => [],
  countAtDepth: async () => 0,
};
