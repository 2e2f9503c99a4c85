/**
 * Health checks of registered instances. Each worker takes what is due, as far as it has room; a check is made by whoever
 * took it. A pass does not wait for the checks that it has started, so a slow one delays no other.
 */
import { serviceKey } from '../../domain/service-rate.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { DueCheck, ServiceCheckStore } from './ports.ts';

const AT_A_TIME = 20;
const MAX_ERROR = 500;

export interface ServiceChecks {
  pass(signal: AbortSignal): Promise<void>;
  /** Resolves when no check is under way. */
  idle(): Promise<void>;
}

export function createServiceChecks(deps: {
  checks: Pick<ServiceCheckStore, 'takeDue' | 'record'>;
  /** By the keys of services. */
  configured: ReadonlyMap<string, string>;
  fetch(
    url: string,
    init: {
      method: string;
      trusted: boolean;
      certificateFor: { service: string };
      tenantId: string;
      signal: AbortSignal;
    },
  ): Promise<{ status: number }>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  log: Logger;
}): ServiceChecks {
  const underWay = new Set<Promise<void>>();

  async function check(of: DueCheck, stopping: AbortSignal): Promise<void> {
    const startedAt = deps.now();
    const error = await faultOf(of, stopping);
    // Whoever is stopped has found out nothing.
    if (stopping.aborted) return;
    const health = await deps.checks.record({ of, error, latencyMs: deps.now() - startedAt });
    if (health === undefined) return;
    const { tenantId, name, instanceId } = of;
    const fields = { tenant_id: tenantId, target: name, instance_id: instanceId, health, error };
    if (health === 'unhealthy') deps.log.warn('service_instance_unhealthy', fields);
    else deps.log.info('service_instance_healthy', fields);
  }

  async function faultOf(
    { tenantId, name, baseUrl, check: how }: DueCheck,
    stopping: AbortSignal,
  ): Promise<string | undefined> {
    const late = AbortSignal.timeout(how.timeout_seconds * 1_000);
    const configured = deps.configured.get(serviceKey(name));
    const [at, trusted] = [configured ?? baseUrl, configured !== undefined];
    try {
      const signal = AbortSignal.any([stopping, late]);
      const certificateFor = { service: name };
      const request = { method: 'GET', trusted, certificateFor, tenantId, signal };
      const { status } = await deps.fetch(`${at}${how.path}`, request);
      return status >= 200 && status < 300 ? undefined : `answered ${status}`;
    } catch (error) {
      if (late.aborted) return `no answer within ${how.timeout_seconds} s`;
      return errorMessage(error).slice(0, MAX_ERROR);
    }
  }

  return {
    async pass(signal) {
      const room = AT_A_TIME - underWay.size;
      if (room <= 0) return;
      for (const due of await deps.checks.takeDue(room)) {
        const made = check(due, signal).catch((error: unknown) =>
          deps.log.warn('background_work_failed', { error: errorMessage(error) }),
        );
        underWay.add(made);
        void made.finally(() => underWay.delete(made));
      }
    },
    async idle() {
      await Promise.all(underWay);
    },
  };
}
