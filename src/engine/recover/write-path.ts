/**
 * Whether tasks can be committed: probed every two seconds, cached between, and probed at once by whoever needs it and finds
 * it unknown. A database that does not answer leaves it unknown: that is reported elsewhere, and passes.
 */
import { cannotPass, type Fault, type FaultError, growingDelay } from '../../domain/health/system-faults.ts';
import { endedWithin } from '../deliver/time-limit.ts';
import type { Logger } from '../ports/logger.ts';
import type { FaultLedger } from './fault-ledger.ts';
import { pause } from './reconcile.ts';

export interface WritePath {
  /** The fault for which nothing can be committed, as last found; probes the database only while that is unknown. */
  fault(): Promise<Fault | undefined> | Fault | undefined;
  /** As last found. */
  lastFault(): Fault | undefined;
  /** Resolves when something can be committed, by the last probe; to false when the signal aborts before. */
  whenUsable(signal: AbortSignal): Promise<boolean> | undefined;
  /** Probes again while there is a fault, so that whoever reports it reports the present. */
  probeAgain(): Promise<void>;
  watchUntil(signal: AbortSignal): Promise<void>;
}

export interface WritePathDeps {
  /** Rejects with the error of the database. */
  probe(): Promise<void>;
  /** Undefined: not the database's. `connection`: it is gone, and what comes back may be another. */
  faultOf(error: unknown): (FaultError & { connection: boolean }) | undefined;
  /** Called with the fault that has ended. */
  onUsableAgain?(ended: Fault): void;
  faults: FaultLedger;
  log: Logger;
  /** Between two probes. */
  everyMs?: number;
}

const EVERY_MS = 2_000;
/** While it fails: its end is to be seen soon. */
const RETRY_MS = 500;
/** Whoever needs to know waits no longer: a database that does not answer says so to the statements that follow. */
const PROBE_TIMEOUT_MS = 1_500;
const WORD = 'database';

export function createWritePath({
  probe,
  faultOf,
  onUsableAgain,
  faults,
  log,
  everyMs = EVERY_MS,
}: WritePathDeps): WritePath {
  let verdict: { fault: Fault | undefined } | undefined;
  let probing: Promise<Fault | undefined> | undefined;
  let failures = 0;
  let waiting: Array<() => void> = [];

  function found(fault: Fault | undefined): Fault | undefined {
    if (fault !== undefined && verdict?.fault === undefined)
      log.error('database_not_usable', { class: fault.class, error: fault.message });
    if (fault === undefined && verdict?.fault !== undefined) {
      log.warn('database_usable_again', {});
      onUsableAgain?.(verdict.fault);
      faults.causeEnded(verdict.fault.class);
    }
    verdict = { fault };
    failures = fault === undefined ? 0 : failures + 1;
    if (fault === undefined) {
      const released = waiting;
      waiting = [];
      for (const go of released) go();
    }
    return fault;
  }

  async function probeNow(): Promise<Fault | undefined> {
    try {
      await probe();
      faults.succeeded('write_path', WORD);
      return found(undefined);
    } catch (error) {
      const seen = faultOf(error);
      if (seen !== undefined && cannotPass(seen.class)) return found(faults.failed('write_path', WORD, seen));
      // A lock, or no connection that is free: what was found before still holds, and nobody has to wait to probe again.
      const isGone = seen?.connection === true && seen.class !== 'no_answer';
      if (isGone && verdict?.fault === undefined) verdict = undefined;
      return verdict?.fault;
    }
  }
  function probeOnce(): Promise<Fault | undefined> {
    probing ??= probeNow().finally(() => {
      probing = undefined;
    });
    return probing;
  }

  return {
    fault: () =>
      verdict === undefined ? endedWithin(PROBE_TIMEOUT_MS, probeOnce()).catch(() => undefined) : verdict.fault,
    lastFault: () => verdict?.fault,
    whenUsable(signal) {
      if (verdict?.fault === undefined) return undefined;
      return new Promise((resolve) => {
        const aborted = () => resolve(false);
        if (signal.aborted) return aborted();
        signal.addEventListener('abort', aborted, { once: true });
        waiting.push(() => {
          signal.removeEventListener('abort', aborted);
          resolve(true);
        });
      });
    },
    async probeAgain() {
      if (verdict?.fault === undefined) return;
      // A probe under way may have started before the end.
      const anew = (probing ?? Promise.resolve()).then(probeOnce);
      await endedWithin(PROBE_TIMEOUT_MS, anew).catch(() => undefined);
    },
    async watchUntil(signal) {
      while (!signal.aborted) {
        await probeOnce();
        await pause(failures === 0 ? everyMs : growingDelay(failures, RETRY_MS, everyMs), signal);
      }
    },
  };
}
