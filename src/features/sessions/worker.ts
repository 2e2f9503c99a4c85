/** What a worker has of it: the steps of sessions, and the removal of codes that were used. */
import { isSystemId } from '../../domain/definition/system-workflow.ts';
import { createKeyring } from '../../engine/keyring.ts';
import { repeatUntil } from '../../engine/recover/reconcile.ts';
import type { FeatureWorker } from '../../feature.ts';
import { createSessionAuditStore } from './audit-store.ts';
import type { SessionClients } from './clients.ts';
import { mfaContext } from './domain.ts';
import { createMemory } from './memory.ts';
import { memoryFailureCounter } from './metrics.ts';
import { createSessionAudit } from './session-audit.ts';
import { stepsOfSession } from './steps.ts';
import { createMfaCodes } from './store.ts';

const REMOVE_CODES_EVERY_MS = 2_000;

export function workerWith(clients: SessionClients): FeatureWorker {
  return {
    open(parts) {
      const { pool, config, log } = parts;
      const keyring = createKeyring(config.secretKeys);
      const codes = createMfaCodes(pool);
      const memoryFailures = memoryFailureCounter();
      const steps = stepsOfSession({
        identity: clients.identity(parts),
        async mfaCode(runId) {
          const found = await codes.find(runId);
          return found && keyring?.open(found.envelope, mfaContext(found.tenantId, found.sessionId));
        },
        memory: createMemory(config.memoryGatewayUrl, parts.fetch, () => memoryFailures.inc()),
        audit: createSessionAudit(createSessionAuditStore(pool, parts.outbox), () => new Date(parts.now())),
      });
      return {
        capabilities: ({ run }) =>
          'workflow_id' in run.of && isSystemId(run.of.workflow_id) ? { session: steps } : {},
        registerMetrics: (registry) => registry.registerMetric(memoryFailures),
        work: (signal) => repeatUntil({ signal, log }, REMOVE_CODES_EVERY_MS, 'remove_mfa_codes', codes.removeUsed),
      };
    },
  };
}
