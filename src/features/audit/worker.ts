/** The worker's part: it audits what the outbound policy denies, and removes what is past its retention. */
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { auditingDenials, auditOf } from './assemble.ts';
import { createAuditStore } from './store.ts';

const PRUNE_EVERY_MS = 60_000;
/** Of each chain. */
const REMOVED_AT_ONCE = 1_000;

export const worker: FeatureWorker = {
  open({ pool, config, log }) {
    const audit = auditOf(config, pool, log);
    const { prune } = createAuditStore(pool);
    const pass = () => prune(config.auditRetentionDays, REMOVED_AT_ONCE);
    return {
      audit: audit.trail,
      onDecision: auditingDenials(audit.trail),
      registerMetrics: audit.count,
      work: (signal) =>
        Promise.all([audit.runUntil(signal), repeatUntil({ signal, log }, PRUNE_EVERY_MS, 'prune_audit', pass)]),
      close: audit.close,
    };
  },
};
