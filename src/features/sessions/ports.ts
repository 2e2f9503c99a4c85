/** What sessions need of their store. */

import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { NewRun, StoredRun } from '../../engine/ports/runs.ts';

export interface NewSession {
  sessionId: string;
  /** Waits for messages until then; undefined: it is not open. */
  ttlSeconds: number | undefined;
  /** An envelope. */
  mfaCode: string | undefined;
}

/** A session with what is read of its run. */
export interface SessionRow {
  sessionId: string;
  runId: string;
  keepOpen: boolean;
  epoch: number;
  status: RunStatus;
  /** It was terminated in this epoch. */
  terminated: boolean;
  /** Number of events of the run. */
  historyLength: number;
  expiresAt: Date | undefined;
}

export interface SessionStore {
  find(tenantId: string, sessionId: string): Promise<SessionRow | undefined>;
  /** Stores the run and the session in one transaction, or finds the run that has this session id already. */
  accept(run: NewRun, session: NewSession): Promise<StoredRun>;
  /** Notes that whatever ends the run in this epoch is a termination; false: it has ended. */
  markTerminated(tenantId: string, runId: string): Promise<boolean>;
  /** Number of events of a run. */
  historyLength(runId: string): Promise<number>;
  /** The new end, never an earlier one; undefined: the run ends or has ended. */
  extend(tenantId: string, runId: string, seconds: number): Promise<Date | undefined>;
}

export interface MfaCodes {
  /** The envelope of the run, and the session that it belongs to. */
  find(runId: string): Promise<{ tenantId: string; sessionId: string; envelope: string } | undefined>;
  /** Those of runs whose token step, or which themselves, have ended. */
  removeUsed(): Promise<number>;
}
