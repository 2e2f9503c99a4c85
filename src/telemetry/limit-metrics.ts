/** Metrics of the request limits of the API in this process. */
import { Counter, type Registry } from 'prom-client';

export interface LimitMetrics {
  rejected(limit: string): void;
  /** A request was counted by this process alone. */
  away(): void;
  /** A signed event that is not taken. */
  signatureRejected(reason: string): void;
}

export function createLimitMetrics(registry: Registry): LimitMetrics {
  const rejections = new Counter({
    name: 'orchestrator_requests_limited_total',
    help: 'Requests that were refused because of a limit',
    labelNames: ['limit'],
    registers: [registry],
  });
  const unavailable = new Counter({
    name: 'orchestrator_rate_limit_store_away_total',
    help: 'Requests that this process counted by itself because the store of the limits did not answer',
    registers: [registry],
  });
  const signatures = new Counter({
    name: 'orchestrator_signed_events_rejected_total',
    help: 'Signed events that were rejected, by what was wrong with their signature',
    labelNames: ['reason'],
    registers: [registry],
  });
  return {
    rejected: (limit) => rejections.inc({ limit }),
    away: () => unavailable.inc(),
    signatureRejected: (reason) => signatures.inc({ reason }),
  };
}
