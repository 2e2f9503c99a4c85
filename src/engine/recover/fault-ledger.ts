/**
 * What this process has seen fail and has not seen succeed since. It is fed where everything passes: by each statement, each
 * pass of background work, each delivery. It holds one entry for each source, and sources are bounded by the code.
 */
import {
  afterFailure,
  type Fault,
  type FaultError,
  type FaultKind,
  isForgotten,
  isProblem,
} from '../../domain/health/system-faults.ts';

export interface FaultLedger {
  failed(kind: FaultKind, source: string, error: FaultError): Fault;
  /** Ends the fault of that source. */
  succeeded(kind: FaultKind, source: string): void;
  /** The cause has ended of what had that class: what still fails says so itself. Background work does by itself. */
  causeEnded(errorClass: string): void;
  /** Those that are problems now, the oldest first. */
  problems(): Fault[];
  /** Nothing fails: whoever succeeds need not say so. */
  isEmpty(): boolean;
}

export function createFaultLedger(now: () => number): FaultLedger {
  const faults = new Map<string, Fault>();
  return {
    failed(kind, source, error) {
      const key = `${kind} ${source}`;
      const fault = afterFailure(faults.get(key), { kind, source, ...error }, now());
      faults.set(key, fault);
      return fault;
    },
    succeeded(kind, source) {
      if (faults.size > 0) faults.delete(`${kind} ${source}`);
    },
    causeEnded(errorClass) {
      for (const [key, { kind, class: of }] of faults) if (of === errorClass && kind !== 'work') faults.delete(key);
    },
    problems() {
      for (const [key, fault] of faults) if (isForgotten(fault, now())) faults.delete(key);
      return [...faults.values()].filter(isProblem).sort((one, other) => one.firstAt - other.firstAt);
    },
    isEmpty: () => faults.size === 0,
  };
}
