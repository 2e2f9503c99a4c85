/** The audit of one process, put together. */
import { open } from 'node:fs/promises';
import type pg from 'pg';
import type { Registry } from 'prom-client';
import type { Config } from '../../config/config.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { maskOf } from '../../domain/texts/mask-secrets.ts';
import type { EgressDecision } from '../../egress/egress.ts';
import type { AuditEvent, AuditHead, AuditReader } from '../../engine/ports/audit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import { createBatcher } from '../../store/core/batch.ts';
import { isDataFault, untilItPasses } from '../../store/core/transient.ts';
import { anchorOf } from './anchor.ts';
import { deniedRequest } from './egress.ts';
import { addAuditMetrics } from './metrics.ts';
import { createAuditStore } from './store.ts';
import { type AuditTrail, createAuditTrail } from './trail.ts';

const MAX_ITEMS = 500;
/** While many come, their statement waits for more of them. */
const GATHER_MS = 100;
const WRITE_COUNTED_EVERY_MS = 5_000;
const ANCHOR_EVERY_MS = 60_000;
const GRACE_MS = 5_000;

export interface ProcessAudit {
  trail: AuditTrail;
  reader: AuditReader;
  count(registry: Registry): void;
  runUntil(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** For `onDecision` of the outbound policy. */
export function auditingDenials(trail: Pick<AuditTrail, 'denied'>): (decision: EgressDecision) => void {
  return ({ refusal, ...request }) => {
    if (refusal !== undefined) trail.denied(deniedRequest({ refusal, ...request }));
  };
}

export function auditOf(config: Config, pool: pg.Pool, log: Logger): ProcessAudit {
  const store = createAuditStore(pool);
  const trail = createAuditTrail({
    store,
    queue: (append) =>
      createBatcher<AuditEvent, AuditHead | undefined>({
        maxItems: MAX_ITEMS,
        gatherMs: GATHER_MS,
        async flush(events) {
          const heads = new Map((await append(events)).map((head) => [head.tenant_id, head]));
          return events.map(({ tenant_id: tenant }) => heads.get(tenant));
        },
        retryAfter: untilItPasses,
        isDataFault,
      }),
    mask: maskOf(config.hidden),
    anchor: (heads) => anchor(heads, config, log),
    now: () => performance.now(),
    log,
  });
  return {
    trail,
    reader: store,
    count: (registry) => addAuditMetrics(registry, trail),
    async runUntil(signal) {
      const writeCounted = async () => trail.writeCounted();
      await Promise.all([
        repeatUntil({ signal, log }, WRITE_COUNTED_EVERY_MS, 'count_audit_denials', writeCounted),
        repeatUntil({ signal, log }, ANCHOR_EVERY_MS, 'anchor_audit', trail.anchorGrown),
      ]);
    },
    close: () => trail.close(GRACE_MS),
  };
}

/** What is outside the database stays when somebody writes all of a chain anew. */
async function anchor(
  heads: readonly AuditHead[],
  { auditAnchorFile: file, auditAnchorSecrets }: Config,
  log: Logger,
): Promise<void> {
  const at = new Date().toISOString();
  const anchors = heads.map((head) => anchorOf(head, at, auditAnchorSecrets));
  for (const one of anchors) log.info('audit_head', one);
  if (file === undefined) return;
  const lines = anchors.map((one) => `${JSON.stringify(one)}\n`).join('');
  try {
    const handle = await open(file, 'a', 0o600);
    await handle.appendFile(lines);
    await handle.sync();
    await handle.close();
  } catch (error) {
    log.error('audit_anchor_not_written', { file, error: errorMessage(error) });
  }
}
