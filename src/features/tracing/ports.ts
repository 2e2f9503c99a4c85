/** Reads traces for the API: of runs, from the rows that there are, and of the calls that were written down. */
import type { ServiceTraces, Trace, TracingStats } from './schemas.ts';

export interface TraceReader {
  stats(tenantId: string, hours: number): Promise<TracingStats>;
  /** An unknown one has no spans. */
  trace(tenantId: string, traceId: string): Promise<Trace>;
  /** The newest first. */
  ofService(tenantId: string, service: string, limit: number): Promise<ServiceTraces>;
}

/** What this program is called among the services. */
export const OWN_SERVICE = 'orchestrator';
