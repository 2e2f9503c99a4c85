/** Caches services by name for a moment: a worker reads the same few with every call. Unknown names are not cached. */
import type { Service } from './ports.ts';

export interface ServiceDirectory {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  /** Something in the registry has changed. */
  forget(): void;
}

const CACHED_MS = 1_000;
const MAX_CACHED = 1_000;

export function createServiceDirectory(deps: {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}): ServiceDirectory {
  const cache = new Map<string, { at: number; service: Promise<Service | undefined> }>();
  return {
    find(tenantId, name) {
      const key = JSON.stringify([tenantId, name]);
      const cached = cache.get(key);
      if (cached !== undefined && deps.now() - cached.at < CACHED_MS) return cached.service;
      const entry = { at: deps.now(), service: deps.find(tenantId, name) };
      if (cache.size >= MAX_CACHED) cache.clear();
      cache.set(key, entry);
      const drop = () => {
        if (cache.get(key) === entry) cache.delete(key);
      };
      entry.service.then((service) => service ?? drop(), drop);
      return entry.service;
    },
    forget: () => cache.clear(),
  };
}
