/**
 * Finds the owner of a presented key. What the database says is cached for a few seconds, also that a key is unknown: so a
 * revoked key is rejected within that time by every process, and a client in a loop costs one look-up per key. That a key
 * was used is written later, many at a time.
 */

import { timingSafeEqual } from 'node:crypto';
import type { FindApiKey } from '../../http/auth/made-keys.ts';
import type { ApiKeyDirectory, FoundKey } from './api-key-ports.ts';
import { hashOfKey, isApiKey, prefixOfKey } from './api-key-text.ts';

/** What a key that is revoked goes on for, at most. */
export const KEY_CACHED_MS = 5_000;
const MAX_CACHED = 10_000;

interface Entry {
  until: number;
  found: Promise<FoundKey | undefined>;
}

export function createFindApiKey(deps: {
  directory: ApiKeyDirectory;
  /** Milliseconds of a clock that does not jump. */
  elapsed(): number;
  cachedMs?: number;
  maxCached?: number;
}): FindApiKey {
  const { directory, elapsed, cachedMs = KEY_CACHED_MS, maxCached = MAX_CACHED } = deps;
  const cache = new Map<string, Entry>();
  const used = new Set<string>();

  function lookUp(hash: Buffer): Promise<FoundKey | undefined> {
    const name = hash.toString('base64');
    const before = cache.get(name);
    if (before !== undefined && elapsed() < before.until) return before.found;
    cache.delete(name);
    // The first is the one that was put in first.
    for (const [oldest] of cache) {
      if (cache.size < maxCached) break;
      cache.delete(oldest);
    }
    const readAt = elapsed();
    const entry: Entry = { until: readAt + cachedMs, found: directory.lookUp(hash) };
    cache.set(name, entry);
    entry.found.then(
      (key) => {
        entry.until = readAt + Math.min(cachedMs, key?.remainingMs ?? cachedMs);
      },
      () => {
        if (cache.get(name) === entry) cache.delete(name);
      },
    );
    return entry.found;
  }

  return {
    isOne: isApiKey,
    async find(text) {
      const hash = hashOfKey(text);
      const key = await lookUp(hash);
      if (key === undefined || !timingSafeEqual(key.hash, hash)) return undefined;
      used.add(key.id);
      const { id, tenantId, roles, scopes } = key;
      // While it is being replaced there are two keys with this id.
      const credential = `${id} ${prefixOfKey(text)}`;
      return { userId: `api-key-${id}`, tenantId, access: { means: 'api_key', credential, roles, scopes } };
    },
    async flush() {
      if (used.size === 0) return;
      const ids = [...used];
      used.clear();
      await directory.used(ids);
    },
  };
}
