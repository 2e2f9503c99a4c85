/** What adapters may ask of the OpenAPI documents of services. */
import type { ExecutionCall } from '../src/engine/ports.ts';
import type { ServiceApis } from '../src/engine/service-apis.ts';
import { type AdapterContext, NonRetryableError, type ServiceApisOfTask } from './adapter.ts';

export function operationsOf(apis: ServiceApis, tenantId: string): AdapterContext['operation'] {
  return async (service, operationId, inputs) => {
    const prepared = await apis.prepare(tenantId, service, operationId, inputs);
    switch (prepared.is) {
      case 'call':
        return prepared.call;
      case 'unknown':
        throw new NonRetryableError(prepared.message, { code: 'input_invalid' });
      case 'unfit': {
        const told = prepared.faults.map(({ path, message }) => `${path}: ${message}`).join('; ');
        throw new NonRetryableError(told, { code: 'input_invalid' });
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
      keep(service, url, document) {
        const by = { cause, runId, correlationId: correlationId ?? undefined, traceId: traceId ?? undefined };
        return apis.keep(tenantId, service, { url, ...by }, document);
      },
    },
  });
}
