/** The circuits of services in a worker, and how often its calls had to wait. Label sets are bounded. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { boundedNames } from '../../telemetry/bounded-names.ts';

/** The value is the index in this list. */
const CIRCUIT_STATES = ['closed', 'half_open', 'open'];
/** Tenants register services under names of their own. */
const MAX_SERVICES = 200;

export interface ServiceMetrics {
  /** A call that has to wait for a rate limit. */
  callPutOff(service: string): void;
  register(registry: Registry): void;
}

export function createServiceMetrics(
  circuits: () => ReadonlyArray<{ name: string; state: 'closed' | 'half_open' | 'open' }>,
): ServiceMetrics {
  const putOff = new Counter({
    name: 'orchestrator_service_calls_put_off_total',
    help: 'How often a call had to wait because of SERVICE_RATE_LIMITS',
    // Not `service`: that is this program.
    labelNames: ['target'],
    registers: [],
  });
  const circuitName = boundedNames(MAX_SERVICES);
  const states = new Gauge({
    name: 'orchestrator_circuit_state',
    help: 'The circuits of a service in this process, the worst of its instances: 0 closed, 1 half-open, 2 open',
    labelNames: ['service'],
    registers: [],
    collect() {
      const worst = new Map<string, number>();
      for (const { name, state } of circuits()) {
        const service = circuitName(name);
        worst.set(service, Math.max(worst.get(service) ?? 0, CIRCUIT_STATES.indexOf(state)));
      }
      this.reset();
      for (const [service, state] of worst) this.set({ service }, state);
    },
  });
  const targetName = boundedNames(MAX_SERVICES);
  return {
    callPutOff(service) {
      putOff.inc({ target: targetName(service) });
    },
    register(registry) {
      registry.registerMetric(putOff);
      registry.registerMetric(states);
    },
  };
}
