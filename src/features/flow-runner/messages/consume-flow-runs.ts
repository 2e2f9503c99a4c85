/** How the messages of flow runs are taken in, of the settings and of what the trunk offers. */
import type pg from 'pg';
import type { ApiParts } from '../../../feature.ts';
import { isTransient, needsRepair } from '../../../store/core/transient.ts';
import { isUnavailable } from '../../../store/core/unavailable.ts';
import type { FlowMetrics } from '../metrics.ts';
import { createStorePoison } from '../poison/poison-store.ts';
import type { StorePoison } from '../poison/ports.ts';
import type { TakeFlowRun } from '../ports.ts';
import type { HandleMessages } from '../transport/ports.ts';
import { createTakeFlowRuns } from './take-flow-runs.ts';

export interface ConsumeDeps {
  parts: Pick<ApiParts, 'config' | 'everyTenant' | 'limits' | 'failpoint' | 'log'>;
  takeFlowRun: TakeFlowRun;
  metrics: Pick<FlowMetrics, 'message'>;
}

export function flowRunHandler({ parts, takeFlowRun, metrics }: ConsumeDeps): HandleMessages {
  const { config, everyTenant, limits, failpoint, log } = parts;
  const { maxMessageBytes: maxBytes } = config.kafka;
  return createTakeFlowRuns({
    takeFlowRun,
    poison: storePoisonOf(config, everyTenant),
    rules: { maxBytes, tenants: config.messageTenants },
    async mayStart(tenantId) {
      const taken = await limits.requests?.take(JSON.stringify(['messages', tenantId]));
      return taken?.allowed !== false;
    },
    passes: (error) => isUnavailable(error) || isTransient(error) || needsRepair(error),
    ...{ metrics, failpoint, log },
  });
}

/** Of messages of any topic. */
export function storePoisonOf({ kafka, flowTransport }: ApiParts['config'], pool: pg.Pool): StorePoison {
  const { maxMessageBytes: maxBytes } = kafka;
  const publish = flowTransport.publishDeadLetters ? { topic: flowTransport.deadLetters, maxBytes } : undefined;
  return createStorePoison({ pool, publish, maxBytes });
}
