/** What the outbound policy has decided in this process. */
import { Counter, type Registry } from 'prom-client';

export interface EgressMetrics {
  decided(decision: { decision: 'allowed' | 'refused'; refusal: string | undefined }): void;
}

export function createEgressMetrics(registry: Registry): EgressMetrics {
  const decisions = new Counter({
    name: 'orchestrator_egress_decisions_total',
    help: 'Requests to the outside, each hop of one, that the outbound policy allowed or refused, and why',
    labelNames: ['decision', 'reason'],
    registers: [registry],
  });
  return {
    decided: ({ decision, refusal }) => decisions.inc({ decision, reason: refusal ?? '' }),
  };
}
