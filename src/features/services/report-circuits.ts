/** Tells the database, in batches, which circuits of this worker are not closed. */
import type { CircuitStore } from './ports.ts';
import type { CircuitChange } from './service-calls.ts';

export interface TellCircuits {
  changed(change: CircuitChange): void;
  /** What has changed since the last time; what could not be told is told the next time. */
  flush(): Promise<void>;
}

export function createTellCircuits(deps: { circuits: CircuitStore; worker: string }): TellCircuits {
  let changes = new Map<string, CircuitChange>();
  return {
    changed(change) {
      changes.set(JSON.stringify([change.tenantId, change.name, change.instanceId]), change);
    },
    async flush() {
      if (changes.size === 0) return;
      const told = changes;
      changes = new Map();
      try {
        await deps.circuits.write(deps.worker, [...told.values()]);
      } catch (error) {
        changes = new Map([...told, ...changes]);
        throw error;
      }
    },
  };
}
