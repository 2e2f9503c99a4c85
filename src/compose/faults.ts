/** The ledger of the faults of a process, and what feeds it: its statements, its background work, its lanes. */

import type { Logger } from '../engine/ports/logger.ts';
import { createFaultLedger, type FaultLedger } from '../engine/recover/fault-ledger.ts';
import { createWritePath, type WritePath } from '../engine/recover/write-path.ts';
import type { Database } from '../store/core/database.ts';
import type { StatementObserver } from '../store/core/observed-client.ts';
import { READ_ONLY } from '../store/core/socket-codes.ts';
import { faultErrorOf, storeFault } from '../store/core/sqlstate.ts';

const DATABASE = 'database';
const COMMITS = 'commits';
/** A task whose workers ended as often is suspected anyway. */
const USUAL_DELIVERIES = 3;
/** Without an error that says why: whatever holds the statement. */
const USUAL_COMMIT_MS = 8_000;

export interface ProcessFaults {
  ledger: FaultLedger;
  statements: StatementObserver;
  /** Of a store of this process, and not of something else that an adapter has called. */
  isOwn(error: unknown): boolean;
  /** Of a lane; undefined: it has ended as the engine said. */
  delivered(lane: string, error: unknown): void;
  /** A task of that lane was delivered for the n-th time, and none before had an outcome. */
  redelivered(lane: string, deliveries: number): void;
  /** For how long outcomes have waited to be committed. */
  commitWaits(ms: number): void;
  /** Whoever gets this log reports each pass of its background work. */
  reporting(log: Logger): Logger;
}

export function processFaults(): ProcessFaults {
  const ledger = createFaultLedger(Date.now);
  const own = new WeakSet<object>();

  /** A connection is everybody's: the first statement that is answered ends its fault, whoever met it. */
  function failed(kind: 'work' | 'delivery', source: string, error: unknown): void {
    const fault = storeFault(error);
    if (fault?.connection === true) ledger.failed('connection', DATABASE, fault);
    else ledger.failed(kind, source, fault ?? faultErrorOf(error));
  }

  return {
    ledger,
    isOwn: (error) => typeof error === 'object' && error !== null && own.has(error),
    statements: {
      hasFaults: () => !ledger.isEmpty(),
      ended(statement, fault, error) {
        if (typeof error === 'object' && error !== null) own.add(error);
        if (fault?.connection === true) return void ledger.failed('connection', DATABASE, fault);
        ledger.succeeded('connection', DATABASE);
        if (fault === undefined) ledger.succeeded('statement', statement);
        else ledger.failed('statement', statement, fault);
      },
    },
    delivered(lane, error) {
      if (error === undefined) ledger.succeeded('delivery', lane);
      else failed('delivery', lane, error);
    },
    redelivered(lane, deliveries) {
      if (deliveries > USUAL_DELIVERIES) ledger.failed('progress', lane, { class: 'redelivered', message: '' });
    },
    commitWaits(ms) {
      if (ms > USUAL_COMMIT_MS) ledger.failed('progress', COMMITS, { class: 'no_answer', message: '' });
      else ledger.succeeded('progress', COMMITS);
    },
    reporting: (log) => ({
      debug: (event, fields) => log.debug(event, fields),
      info: (event, fields) => log.info(event, fields),
      warn: (event, fields) => log.warn(event, fields),
      error: (event, fields) => log.error(event, fields),
      isEnabled: (level) => log.isEnabled?.(level) !== false,
      passed(work, error) {
        if (error === undefined) ledger.succeeded('work', work);
        else failed('work', work, error);
      },
    }),
  };
}

export function writePathOf(
  faults: FaultLedger,
  database: Pick<Database, 'renewConnections'>,
  probe: () => Promise<void>,
  log: Logger,
): WritePath {
  return createWritePath({
    probe,
    faultOf: storeFault,
    // Those that were opened meanwhile would each reject one more write.
    onUsableAgain: (ended) => {
      if (ended.class === READ_ONLY) database.renewConnections();
    },
    faults,
    log,
  });
}
