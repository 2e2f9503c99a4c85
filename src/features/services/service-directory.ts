/** Services by name, kept for a moment: a worker asks for the same few with every call. What is unknown is asked again. */
import type { Service } from './ports.ts';

export interface ServiceDirectory {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  /** Something in the registry has changed. */
  forget(): void;
}

const KEPT_MS = 1_000;
const MOST_KEPT = 1_000;

export function createServiceDirectory(deps: {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}): ServiceDirectory {
  const kept = new Map<string, { at: number; service: Promise<Service | undefined> }>();
  return {
    find(tenantId, name) {
      const key = JSON.stringify([tenantId, name]);
      const known = kept.get(key);
      if (known !== undefined && deps.now() - known.at < KEPT_MS) return known.service;
      const entry = { at: deps.now(), service: deps.find(tenantId, name) };
      if (kept.size >= MOST_KEPT) kept.clear();
      kept.set(key, entry);
      const drop = () => {
        if (kept.get(key) === entry) kept.delete(key);
      };
      entry.service.then((service) => service ?? drop(), drop);
      return entry.service;
    },
    forget: () => kept.clear(),
  };
}
