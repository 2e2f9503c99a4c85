/** What people decide about an execution: actions skipped or completed by hand, approvals, signals. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Config } from '../config.ts';
import { createApprovalLinks } from '../engine/approval-links.ts';
import { createApprovals } from '../engine/approvals.ts';
import { createSettleByHand, type SettleByHandDeps } from '../engine/settle-by-hand.ts';
import { createSignals, type SignalDeps } from '../engine/signals.ts';
import { createPayloadSchemas } from '../expressions/json-schema.ts';
import type { HttpDeps } from '../http/deps.ts';
import { createApprovalStore } from '../store/approvals.ts';
import { createHandStore } from '../store/settle-by-hand.ts';
import { createSignalStore } from '../store/signals.ts';

type Needs = Pick<SettleByHandDeps, 'plans' | 'runs' | 'queue' | 'failpoint' | 'log'> &
  Omit<SignalDeps, 'signals' | 'checkPayload' | 'maxOutputBytes'>;

export function peopleAt(
  { maxOutputBytes, approvalLinkSecrets }: Config,
  pool: pg.Pool,
  deps: Needs,
): Pick<HttpDeps, 'byHand' | 'approvals' | 'signals'> {
  return {
    byHand: createSettleByHand({ ...deps, byHand: createHandStore(pool), newId: randomUUID, maxOutputBytes }),
    approvals: createApprovals({
      ...deps,
      approvals: createApprovalStore(pool),
      links: createApprovalLinks(approvalLinkSecrets),
    }),
    signals: createSignals({
      ...deps,
      signals: createSignalStore(pool),
      checkPayload: createPayloadSchemas().check,
      maxOutputBytes,
    }),
  };
}
