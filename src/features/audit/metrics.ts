/** What waits to be written to the audit in this process, and what was lost of it. */
import { Counter, Gauge, type Registry } from 'prom-client';

export function addAuditMetrics(registry: Registry, trail: { queued(): number; dropped(): number }): void {
  new Gauge({
    name: 'orchestrator_audit_queued',
    help: 'Audit entries of this process that are not written yet',
    registers: [registry],
    collect() {
      this.set(trail.queued());
    },
  });
  new Counter({
    name: 'orchestrator_audit_dropped_total',
    help: 'Audit entries of this process that could not be written',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(trail.dropped());
    },
  });
}
