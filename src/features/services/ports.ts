/** What the registry of services needs of its store. */

import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { HealthCheck, InstanceHealth, ServiceSettings } from './domain.ts';

export interface ServiceInstance {
  instanceId: string;
  baseUrl: string;
  weight: number;
  ttlSeconds: number | null;
  heartbeatAt: Date | null;
  /** Null: never. */
  expiresAt: Date | null;
  /** Its time is over, by the clock of the database. */
  expired: boolean;
  health: InstanceHealth;
  checkedAt: Date | null;
  latencyMs: number | null;
  lastError: string | null;
}

export interface Service {
  name: string;
  baseUrl: string;
  openapiUrl: string | null;
  endpoints: Json[];
  metadata: JsonObject;
  settings: ServiceSettings;
  /** The higher one is the newer; 0: only configured. */
  version: number;
  /** The peer it was registered at; null: here. */
  origin: string | null;
  source: 'configuration' | 'registration';
  instances: ServiceInstance[];
  registeredAt: Date | null;
  updatedAt: Date | null;
}

export interface Registration {
  name: string;
  baseUrl: string;
  /** Undefined: the service is this one instance, and whatever else was registered under the name goes. */
  instanceId: string | undefined;
  weight: number;
  ttlSeconds: number | null;
  /** Of the service. Left out: as it is, when an instance is named, else nothing. */
  openapiUrl?: string | null | undefined;
  endpoints?: Json[] | undefined;
  metadata?: JsonObject | undefined;
  settings?: Partial<ServiceSettings> | undefined;
}

export interface ServiceStore {
  find(tenantId: string, name: string): Promise<Service | undefined>;
  /** By name. */
  list(tenantId: string): Promise<Service[]>;
  /** `full`: there are as many services, or instances of this one, as there may be. */
  register(caller: Caller, registration: Registration): Promise<'registered' | 'full'>;
  /** Leaves a tombstone. */
  remove(caller: Caller, name: string): Promise<boolean>;
  /** Undefined: there is no such instance. */
  heartbeat(tenantId: string, name: string, instanceId: string): Promise<{ expiresAt: Date | null } | undefined>;
}

/** A circuit of a worker that is alive, as long as it is not closed. */
export interface OpenCircuit {
  name: string;
  instanceId: string;
  worker: string;
  state: 'open' | 'half_open';
  since: Date;
}

export interface CircuitStore {
  /** Closed ones are forgotten. */
  write(
    worker: string,
    changes: ReadonlyArray<{
      tenantId: string;
      name: string;
      instanceId: string;
      state: 'closed' | 'open' | 'half_open';
    }>,
  ): Promise<void>;
  /** Of a worker that starts or ends. */
  clear(worker: string): Promise<void>;
  list(tenantId: string): Promise<OpenCircuit[]>;
}

export interface DueCheck {
  tenantId: string;
  name: string;
  instanceId: string;
  baseUrl: string;
  check: HealthCheck;
}

export interface CheckResult {
  of: DueCheck;
  /** Why it did not pass. */
  error: string | undefined;
  latencyMs: number;
}

export interface ServiceCheckStore {
  /** Whoever takes a check is the only one who makes it. */
  takeDue(limit: number): Promise<DueCheck[]>;
  /** Resolves to what its health is now, when the check has changed it. */
  record(result: CheckResult): Promise<InstanceHealth | undefined>;
  /** Instances whose time has been over for an hour, and services that have none then. */
  removeGone(limit: number): Promise<void>;
}
