/** Stores, in batches, which circuits of this worker are not closed. */
import type { CircuitStore } from './ports.ts';
import type { CircuitChange } from './service-calls.ts';

export interface CircuitReporter {
  changed(change: CircuitChange): void;
  /** What has changed since the last time; what could not be stored is stored the next time. */
  flush(): Promise<void>;
}

export function createCircuitReporter(deps: { circuits: CircuitStore; worker: string }): CircuitReporter {
  let changes = new Map<string, CircuitChange>();
  return {
    changed(change) {
      changes.set(JSON.stringify([change.tenantId, change.name, change.instanceId]), change);
    },
    async flush() {
      if (changes.size === 0) return;
      const reported = changes;
      changes = new Map();
      try {
        await deps.circuits.write(deps.worker, [...reported.values()]);
      } catch (error) {
        changes = new Map([...reported, ...changes]);
        throw error;
      }
    },
  };
}
