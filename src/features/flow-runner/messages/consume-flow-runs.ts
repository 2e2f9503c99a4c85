/** Takes the messages of flow runs in, in the background of an API process, where a transport is on. */
import { once } from 'node:events';
import type { ApiParts } from '../../../feature.ts';
import { isTransient, needsRepair } from '../../../store/core/transient.ts';
import { isUnavailable } from '../../../store/core/unavailable.ts';
import type { FlowMetrics } from '../metrics.ts';
import { createStorePoison } from '../poison/poison-store.ts';
import type { TakeFlowRun } from '../ports.ts';
import type { Transport } from '../transport/ports.ts';
import { createTakeFlowRuns } from './take-flow-runs.ts';

export interface ConsumeDeps {
  parts: Pick<ApiParts, 'config' | 'everyTenant' | 'limits' | 'failpoint' | 'log'>;
  takeFlowRun: TakeFlowRun;
  metrics: Pick<FlowMetrics, 'message'>;
}

/** Resolves when the signal has aborted, what was in hand is done with or given back, and the transport is closed. */
export async function consumeFlowRuns(deps: ConsumeDeps, transport: Transport, signal: AbortSignal): Promise<void> {
  const { config, everyTenant, limits, failpoint, log } = deps.parts;
  const { kafka, flowTransport, messageTenants } = config;
  const { maxMessageBytes: maxBytes } = kafka;
  const publish = flowTransport.publishDeadLetters ? { topic: flowTransport.deadLetters, maxBytes } : undefined;
  const handle = createTakeFlowRuns({
    takeFlowRun: deps.takeFlowRun,
    poison: createStorePoison({ pool: everyTenant, publish, maxBytes }),
    rules: { maxBytes, tenants: messageTenants },
    async mayStart(tenantId) {
      const taken = await limits.requests?.take(JSON.stringify(['messages', tenantId]));
      return taken?.allowed !== false;
    },
    passes: (error) => isUnavailable(error) || isTransient(error) || needsRepair(error),
    metrics: deps.metrics,
    failpoint,
    log,
  });
  const consumer = transport.consume({ topics: [flowTransport.runs], group: kafka.group, handle });
  log.info('flow runs are taken from messages', { transport: transport.name, topic: flowTransport.runs });
  if (!signal.aborted) await once(signal, 'abort');
  await consumer.close();
  await transport.close();
}
