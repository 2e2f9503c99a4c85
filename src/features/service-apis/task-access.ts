/** What adapters may do with the OpenAPI documents of services. */

import { type AdapterContext, NonRetryableError } from '../../../workers/adapter.ts';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import type { Json } from '../../schemas/json.ts';
import type { DocumentSource, Polled, ServiceApis } from './poll-apis.ts';

/** What `list_services` and `poll_openapi` use. */
interface ServiceApisOfTask {
  names(): Promise<string[]>;
  source(service: string): Promise<DocumentSource | undefined>;
  store(service: string, url: string, document: Json): Promise<Polled>;
}

declare module '../../../workers/adapter.ts' {
  interface EngineCapabilities {
    apis?: ServiceApisOfTask;
  }
}

export function operationsOf(apis: ServiceApis, tenantId: string): AdapterContext['operation'] {
  return async (service, operationId, inputs) => {
    const prepared = await apis.prepare(tenantId, service, operationId, inputs);
    switch (prepared.is) {
      case 'call':
        return prepared.call;
      case 'unknown':
        throw new NonRetryableError(prepared.message, { code: 'input_invalid' });
      case 'unfit': {
        const message = prepared.faults.map(({ path, message }) => `${path}: ${message}`).join('; ');
        throw new NonRetryableError(message, { code: 'input_invalid' });
      }
    }
  };
}

export function createApisOfTasks(
  apis: ServiceApis,
): (call: Pick<ExecutionCall, 'run' | 'idempotencyKey'>) => { apis: ServiceApisOfTask } {
  return ({ run: { id: runId, tenantId, correlationId, traceId }, idempotencyKey: cause }) => ({
    apis: {
      names: () => apis.names(tenantId),
      source: (service) => apis.source(tenantId, service),
      store(service, url, document) {
        const by = { cause, runId, correlationId: correlationId ?? undefined, traceId: traceId ?? undefined };
        return apis.store(tenantId, service, { url, ...by }, document);
      },
    },
  });
}
