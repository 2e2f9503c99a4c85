/** Failures in groups: what fails, since when, how often and where, and what is done about it at once. */
import { createHash } from 'node:crypto';
import { readItemId } from '../../domain/runs/parts.ts';
import type { RunStatus } from '../../domain/runs/run-states.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { type FailureKind, fingerprintText, normaliseMessage } from './domain.ts';
import type { DeadLetterStore, DeadLetters } from './ports.ts';

export type GroupState = 'open' | 'resolved' | 'ignored';

export interface ErrorGroup {
  fingerprint: string;
  actionType: string;
  workflowId: string | null;
  actionId: string;
  code: string;
  template: string;
  /** The newest, as it was. */
  message: string;
  runId: string | null;
  failedAttempts: number;
  failedTasks: number;
  runs: number;
  firstSeen: Date;
  lastSeen: Date;
  state: GroupState;
  stateBy: string | null;
  stateAt: Date | null;
  regressions: number;
}

export interface GroupDetails extends ErrorGroup {
  /** The newest first, a few. */
  recent: Array<{ runId: string; status: RunStatus; failures: number; lastAt: Date }>;
  /** Failed attempts of the last 24 hours, the oldest hour first. */
  hours: Array<{ from: Date; failures: number }>;
  /** Tasks that failed with it and were neither retried nor discarded since. */
  waiting: number;
}

export interface GroupFilter {
  state?: GroupState | undefined;
  workflowId?: string | undefined;
  actionType?: string | undefined;
  /** Seen at or after, and first seen before. */
  from?: Date | undefined;
  to?: Date | undefined;
}
export type GroupOrder = 'last_seen' | 'count';
export interface GroupWindow {
  order: GroupOrder;
  limit: number;
  /** The last one of the page before: milliseconds since 1970, or the count. */
  after: { value: number; fingerprint: string } | undefined;
}

export interface ErrorGroupStore {
  list(
    tenantId: string,
    filter: GroupFilter,
    window: GroupWindow,
  ): Promise<{ items: ErrorGroup[]; total: number; more: boolean }>;
  find(tenantId: string, fingerprint: string): Promise<Omit<GroupDetails, 'waiting'> | undefined>;
  setState(caller: Caller, fingerprint: string, state: GroupState): Promise<ErrorGroup | undefined>;
}

export interface ErrorGroups {
  list: ErrorGroupStore['list'];
  find(tenantId: string, fingerprint: string): Promise<GroupDetails | undefined>;
  setState: ErrorGroupStore['setState'];
  /** Undefined: there is no such group. */
  retry(
    caller: Caller,
    fingerprint: string,
    options: { dryRun: boolean; limit: number },
  ): Promise<{ matched: number; runs: number } | undefined>;
}

export function createErrorGroups(deps: {
  groups: ErrorGroupStore;
  deadLetters: Pick<DeadLetters, 'retry'>;
  waiting: DeadLetterStore['count'];
}): ErrorGroups {
  const { groups, deadLetters } = deps;
  return {
    list: groups.list,
    setState: groups.setState,
    async find(tenantId, fingerprint) {
      const found = await groups.find(tenantId, fingerprint);
      if (found === undefined) return undefined;
      return { ...found, waiting: await deps.waiting(tenantId, { fingerprint }) };
    },
    async retry(caller, fingerprint, { dryRun, limit }) {
      if ((await groups.find(caller.tenantId, fingerprint)) === undefined) return undefined;
      const { total, runs } = await deadLetters.retry(caller, { fingerprint }, dryRun, limit);
      return { matched: total, runs };
    },
  };
}

/** A failed attempt that is in no group yet. */
export interface NewFailure {
  tenantId: string;
  workflowId: string | null;
  actionType: string;
  actionId: string;
  error: { code?: unknown; message?: unknown } | null;
}
export type Identified = FailureKind & { fingerprint: string; message: string };

const MAX_MESSAGE = 2_000;
const FINGERPRINT_LENGTH = 24;

export function identify({ workflowId, actionType, actionId, error }: NewFailure): Identified {
  const message = textOf(error?.message);
  const kind: FailureKind = {
    actionType,
    workflowId,
    actionId: readItemId(actionId)?.actionId ?? actionId,
    code: textOf(error?.code),
    template: normaliseMessage(message),
  };
  return { ...kind, fingerprint: fingerprintOf(kind), message: message.slice(0, MAX_MESSAGE) };
}

/** Where failures of new kinds go once a tenant has as many groups as it may have. */
export const OVERFLOW: Identified = {
  actionType: '*',
  workflowId: null,
  actionId: '*',
  code: 'more_kinds_of_failures',
  template: 'failures of further kinds, which have no group of their own',
  fingerprint: 'overflow',
  message: '',
};

export function fingerprintOf(kind: FailureKind): string {
  return createHash('sha256').update(fingerprintText(kind)).digest('hex').slice(0, FINGERPRINT_LENGTH);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export interface FailureCounter {
  /**
   * Puts the oldest failures that are in no group into theirs, each once, whoever else tries. Undefined: another process is
   * at it.
   */
  count(limit: number): Promise<{ counted: number; regressed: Regression[] } | undefined>;
}
export interface Regression {
  tenantId: string;
  fingerprint: string;
}

const AT_ONCE = 500;

export async function countFailures(
  deps: { failures: FailureCounter; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const done = await deps.failures.count(AT_ONCE);
    for (const { tenantId, fingerprint } of done?.regressed ?? []) {
      deps.log.warn('error_group_reopened', { tenant_id: tenantId, fingerprint });
    }
    if (done === undefined || done.counted < AT_ONCE) return;
  }
}
