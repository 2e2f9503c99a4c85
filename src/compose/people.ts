/** What people decide about an execution: actions skipped or completed by hand, approvals, signals. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Config } from '../config.ts';
import type { Egress } from '../egress/egress.ts';
import { createApprovalLinks } from '../engine/approval-links.ts';
import { createApprovals } from '../engine/approvals.ts';
import { createSettleByHand, type SettleByHandDeps } from '../engine/settle-by-hand.ts';
import { createSignals, type SignalDeps } from '../engine/signals.ts';
import type { HttpDeps } from '../http/deps.ts';
import { createApprovalStore } from '../store/approvals.ts';
import { createHandStore } from '../store/settle-by-hand.ts';
import { createSignalStore } from '../store/signals.ts';
import { approvalNotices } from './approval-notices.ts';

type Needs = Pick<SettleByHandDeps, 'plans' | 'runs' | 'queue' | 'failpoint' | 'log'> &
  Omit<SignalDeps, 'signals' | 'maxOutputBytes'>;

export function peopleAt(
  config: Config,
  pool: pg.Pool,
  deps: Needs & { egress: Egress },
): Pick<HttpDeps, 'byHand' | 'approvals' | 'signals'> {
  const { maxOutputBytes, approvalLinkSecrets } = config;
  return {
    byHand: createSettleByHand({
      ...deps,
      byHand: createHandStore(pool),
      newId: randomUUID,
      now: () => new Date(),
      maxOutputBytes,
    }),
    approvals: createApprovals({
      ...deps,
      approvals: createApprovalStore(pool),
      links: createApprovalLinks(approvalLinkSecrets),
      sendLinks: approvalNotices(config, deps.egress, deps.log),
    }),
    signals: createSignals({
      ...deps,
      signals: createSignalStore(pool),
      maxOutputBytes,
    }),
  };
}
