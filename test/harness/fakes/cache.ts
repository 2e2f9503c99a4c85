/** The cache of outputs in memory, over the rows of a fake store. Time does not pass in it. */
import type { NewCacheEntry, OutputCache } from '../../../src/engine/deliver/cache.ts';
import type { FakeStore } from './store.ts';

export interface FakeCache extends OutputCache {
  /** Key -> JSON text. */
  entries: Map<string, string>;
  lookups: string[];
  stored: NewCacheEntry[];
}

export function createFakeCache(store: Pick<FakeStore, 'task'>): FakeCache {
  const cache: FakeCache = {
    entries: new Map(),
    lookups: [],
    stored: [],
    async find({ key }) {
      cache.lookups.push(key);
      return cache.entries.get(key);
    },
    async forget({ key }) {
      cache.entries.delete(key);
    },
    async store(entry) {
      const task = store.task(entry.runId, entry.actionId);
      if (task?.commitId !== entry.commitId || task.status !== 'completed') throw new Error('not a committed output');
      cache.stored.push(entry);
      if (task.output !== null) cache.entries.set(entry.key, task.output);
    },
  };
  return cache;
}
