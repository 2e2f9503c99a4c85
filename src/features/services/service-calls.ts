/**
 * Where the calls of one worker to a service go: an instance by the service's load balancing, with a circuit that lets it
 * through, while the service has not as many calls of this worker under way as it may have.
 */
import { bulkhead } from 'cockatiel';
import { callable, chooseInstance } from './choose-instance.ts';
import { type CallOutcome, type Circuit, type CircuitName, createCircuit } from './circuit.ts';
import type { Service, ServiceInstance } from './ports.ts';
import { type BudgetWindow, countCall } from './retry-budget.ts';

export interface PermitRequest {
  /** Instances that this attempt has called already. */
  besides: readonly string[];
  /** Within the same attempt: only as far as the budget of the service goes. */
  again: boolean;
}

export type Permit =
  | { is: 'permit'; instanceId: string; baseUrl: string; timeoutSeconds: number; end(outcome: CallOutcome): void }
  /** No circuit lets a call through; one may in `waitMs`. */
  | { is: 'open'; waitMs: number }
  /** As many calls are under way as may be. */
  | { is: 'full'; waitMs: number }
  /** No instance is left. */
  | { is: 'none' };

export interface CircuitChange {
  tenantId: string;
  name: string;
  instanceId: string;
  state: CircuitName;
}

export interface ServiceCalls {
  permit(tenantId: string, service: Service, request: PermitRequest, signal: AbortSignal): Promise<Permit>;
  circuits(): CircuitChange[];
}

/** So long a call waits here while the service is busy: then it makes room for calls of others. */
const WAIT_HERE_MS = 500;
const BUSY_WAIT_MS = 1_000;
const FORGET_AFTER_MS = 600_000;

interface ServiceState {
  tenantId: string;
  name: string;
  limit: number;
  slots: ReturnType<typeof bulkhead>;
  credit: Map<string, number>;
  budget: BudgetWindow;
  circuits: Map<string, { of: string; circuit: Circuit }>;
  usedAt: number;
}

export function createServiceCalls(deps: {
  /** Milliseconds, of the clock that cockatiel reads. */
  now(): number;
  random(): number;
  onChange(change: CircuitChange): void;
  /** Left out: they are on. */
  breakers?: boolean;
}): ServiceCalls {
  const states = new Map<string, ServiceState>();

  function stateOf(tenantId: string, { name, settings }: Service): ServiceState {
    const key = JSON.stringify([tenantId, name]);
    const found = states.get(key);
    const limit = settings.bulkhead;
    if (found === undefined) forgetUnused();
    const entry = found ?? {
      tenantId,
      name,
      limit,
      slots: bulkhead(limit, Number.POSITIVE_INFINITY),
      credit: new Map(),
      budget: new Map(),
      circuits: new Map(),
      usedAt: 0,
    };
    if (entry.limit !== limit) {
      entry.limit = limit;
      entry.slots = bulkhead(limit, Number.POSITIVE_INFINITY);
    }
    entry.usedAt = deps.now();
    states.set(key, entry);
    return entry;
  }

  function forgetUnused(): void {
    const before = deps.now() - FORGET_AFTER_MS;
    for (const [key, { usedAt, circuits }] of states) {
      const idle = [...circuits.values()].every(({ circuit }) => circuit.outstanding() === 0);
      if (usedAt < before && idle) states.delete(key);
    }
  }

  function circuitOf(entry: ServiceState, instance: ServiceInstance, { settings: { breaker } }: Service): Circuit {
    const { tenantId, name } = entry;
    const { instanceId } = instance;
    // At another address, or with other thresholds, it starts anew.
    const of = JSON.stringify([instance.baseUrl, breaker]);
    const found = entry.circuits.get(instanceId);
    if (found?.of === of) return found.circuit;
    const onChange = (state: CircuitName) => {
      if (entry.circuits.get(instanceId)?.circuit === circuit) deps.onChange({ tenantId, name, instanceId, state });
    };
    const never = { ...breaker, failure_threshold: Number.POSITIVE_INFINITY };
    const circuit = createCircuit(deps.breakers === false ? never : breaker, { now: deps.now, onChange });
    entry.circuits.set(instanceId, { of, circuit });
    if (found !== undefined && found.circuit.state() !== 'closed') onChange('closed');
    return circuit;
  }

  function forgetGone(entry: ServiceState, { instances }: Service): void {
    for (const [instanceId, { circuit }] of entry.circuits) {
      if (instances.some((instance) => instance.instanceId === instanceId)) continue;
      entry.circuits.delete(instanceId);
      entry.credit.delete(instanceId);
      const { tenantId, name } = entry;
      if (circuit.state() !== 'closed') deps.onChange({ tenantId, name, instanceId, state: 'closed' });
    }
  }

  /** Undefined when there is no room in time. */
  function takeSlot({ slots }: ServiceState, signal: AbortSignal): Promise<(() => void) | undefined> {
    return new Promise((resolve) => {
      let waiting = true;
      const settle = (slot: (() => void) | undefined) => {
        waiting = false;
        clearTimeout(late);
        signal.removeEventListener('abort', giveUp);
        resolve(slot);
      };
      const giveUp = () => settle(undefined);
      const late = setTimeout(giveUp, WAIT_HERE_MS);
      signal.addEventListener('abort', giveUp, { once: true });
      // Without the signal: what is aborted while it waits there would block the slot of the next one.
      void slots.execute(() => {
        if (!waiting) return Promise.resolve();
        return new Promise<void>((free) => settle(free));
      });
    });
  }

  return {
    async permit(tenantId, service, { besides, again }, signal) {
      const entry = stateOf(tenantId, service);
      forgetGone(entry, service);
      const instances = service.instances.filter(({ instanceId }) => !besides.includes(instanceId));
      const circuit = (instance: ServiceInstance) => circuitOf(entry, instance, service);
      const ready = () => callable(instances, (instance) => circuit(instance).waitMs() === 0);
      const closed = (): Permit => {
        const waits = instances.filter(({ expired }) => !expired).map((instance) => circuit(instance).waitMs());
        return waits.length === 0 ? { is: 'none' } : { is: 'open', waitMs: Math.min(...waits) };
      };
      if (ready().length === 0) return closed();
      if (countCall(entry.budget, deps.now(), again) === undefined) return { is: 'none' };
      const slot = await takeSlot(entry, signal);
      if (signal.aborted) {
        slot?.();
        throw signal.reason;
      }
      if (slot === undefined) return { is: 'full', waitMs: BUSY_WAIT_MS * (1 + deps.random()) };
      const [first, ...others] = ready();
      if (first === undefined) {
        slot();
        return closed();
      }
      const candidate = (instance: ServiceInstance) => ({
        id: instance.instanceId,
        weight: instance.weight,
        outstanding: circuit(instance).outstanding(),
      });
      const { load_balancing, timeout_seconds } = service.settings;
      const choice = chooseInstance(load_balancing, [candidate(first), ...others.map(candidate)], entry.credit);
      const chosen = [first, ...others].find(({ instanceId }) => instanceId === choice.id) ?? first;
      const budget = countCall(entry.budget, deps.now(), again);
      const exitCircuit = budget === undefined ? undefined : circuit(chosen).enter();
      if (budget === undefined || exitCircuit === undefined) {
        slot();
        return budget === undefined ? { is: 'none' } : closed();
      }
      entry.credit = new Map([...entry.credit, ...choice.credit]);
      entry.budget = budget;
      const { instanceId, baseUrl } = chosen;
      let ended = false;
      return {
        is: 'permit',
        instanceId,
        baseUrl,
        timeoutSeconds: timeout_seconds,
        end(outcome) {
          if (ended) return;
          ended = true;
          exitCircuit(outcome);
          slot();
        },
      };
    },
    circuits: () =>
      [...states.values()].flatMap(({ tenantId, name, circuits }) =>
        [...circuits].map(([instanceId, { circuit }]) => ({ tenantId, name, instanceId, state: circuit.state() })),
      ),
  };
}
