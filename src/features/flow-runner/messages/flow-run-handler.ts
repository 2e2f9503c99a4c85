/** What handles messages of the topic of flow runs in an API process, put together of the settings and what the trunk offers. */
import type { ApiParts } from '../../../feature.ts';
import { isTransient, needsRepair } from '../../../store/core/transient.ts';
import { isUnavailable } from '../../../store/core/unavailable.ts';
import type { FlowMetrics } from '../metrics.ts';
import { createStorePoison } from '../poison/poison-store.ts';
import type { StorePoison } from '../poison/ports.ts';
import type { TakeFlowRun } from '../ports.ts';
import type { HandleMessages } from '../transport/ports.ts';
import { createTakeFlowRuns } from './take-flow-runs.ts';

export interface FlowRunHandlerDeps {
  parts: Pick<ApiParts, 'config' | 'everyTenant' | 'limits' | 'failpoint' | 'log'>;
  takeFlowRun: TakeFlowRun;
  metrics: Pick<FlowMetrics, 'message'>;
}

export function flowRunHandler({ parts, takeFlowRun, metrics }: FlowRunHandlerDeps): HandleMessages {
  const { config, limits, failpoint, log } = parts;
  return createTakeFlowRuns({
    ...{ takeFlowRun, metrics, failpoint, log },
    poison: storePoisonOf(parts),
    rules: { maxBytes: config.kafka.maxMessageBytes, tenants: config.messageTenants },
    async mayStart(tenantId) {
      const taken = await limits.requests?.take(JSON.stringify(['messages', tenantId]));
      return taken?.allowed !== false;
    },
    passes: (error) => isUnavailable(error) || isTransient(error) || needsRepair(error),
  });
}

/** The same for messages of every topic. */
export function storePoisonOf({ config, everyTenant }: Pick<ApiParts, 'config' | 'everyTenant'>): StorePoison {
  const { maxMessageBytes: maxBytes } = config.kafka;
  const { publishDeadLetters, deadLetters: topic } = config.flowTransport;
  return createStorePoison({
    pool: everyTenant,
    publish: publishDeadLetters ? { topic, maxBytes } : undefined,
    maxBytes,
  });
}
