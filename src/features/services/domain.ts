/** Registered services: their settings and status. Settings have the wire's names. */
export interface HealthCheck {
  path: string;
  interval_seconds: number;
  timeout_seconds: number;
  /** Checks in a row after which an instance counts as healthy, or as unhealthy. */
  healthy_threshold: number;
  unhealthy_threshold: number;
}

export type LoadBalancing = 'round_robin' | 'least_outstanding';

export interface ServiceSettings {
  health_check: HealthCheck | null;
  load_balancing: LoadBalancing;
  /** So many failures in a row open the circuit; after so many seconds one call is let through. */
  breaker: { failure_threshold: number; recovery_timeout: number };
  /** Calls of one worker at the same time. */
  bulkhead: number;
  timeout_seconds: number;
}

export const DEFAULT_SETTINGS: ServiceSettings = {
  health_check: null,
  load_balancing: 'round_robin',
  breaker: { failure_threshold: 5, recovery_timeout: 60 },
  bulkhead: 10,
  timeout_seconds: 300,
};

export type InstanceHealth = 'unknown' | 'healthy' | 'unhealthy';
export type InstanceStatus = InstanceHealth | 'expired';
export type ServiceStatus = InstanceStatus | 'degraded';

/** The instance of a service that was registered without naming one. */
export const ONLY_INSTANCE = 'default';

interface Standing {
  expired: boolean;
  health: InstanceHealth;
}

export function instanceStatus({ expired, health }: Standing): InstanceStatus {
  return expired ? 'expired' : health;
}

/** Of all instances that are not expired: alike, or else `degraded`. */
export function serviceStatus(instances: readonly Standing[]): ServiceStatus {
  const [first, ...others] = new Set(instances.filter(({ expired }) => !expired).map(({ health }) => health));
  if (first === undefined) return 'expired';
  return others.length === 0 ? first : 'degraded';
}
